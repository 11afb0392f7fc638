-- Takes what only the older application had out of an adopted database, so that the rest can be compared with a new one.
drop materialized view public.coach_totals;
drop view
  public.session_titles, public.session_details, public.coach_statistics, public.coach_stats, public.client_progress_summary,
  public.client_progress, public.coach_availability_with_timezone, public.user_accessible_files,
  public.coach_pending_session_requests, public.mfa_admin_dashboard, public.mfa_statistics, public.security_dashboard,
  public.database_schema_summary;
-- Cascades reach one foreign key of a base table: notifications.template_id had a table to point to.
drop table
  public.coach_profiles, public.security_audit_log, public.user_mfa_methods, public.mfa_audit_log, public.mfa_sessions,
  public.trusted_devices, public.tasks, public.session_files, public.file_shares, public.file_uploads, public.session_ratings,
  public.session_feedback, public.session_requests, public.message_analytics_events, public.message_analytics_daily,
  public.notification_delivery_logs, public.notification_templates cascade;
drop trigger check_mfa_enforcement_trigger on public.users;
do $$
declare
  item record;
begin
  for item in
    select p.oid::regprocedure as signature
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname in (
      'update_updated_at_column', 'update_user_last_seen', 'update_user_auth_metadata', 'check_mfa_enforcement',
      'custom_access_token_hook', 'is_admin', 'is_coach', 'is_client', 'get_user_role', 'validate_user_role',
      'validate_user_access', 'validate_session_access', 'check_suspicious_activity', 'db_health_check',
      'get_database_statistics', 'comprehensive_database_cleanup', 'is_time_slot_available', 'get_available_time_slots',
      'create_session', 'get_upcoming_sessions', 'validate_session_availability_with_timezone', 'get_coach_average_rating',
      'get_system_overview_metrics', 'update_file_uploads_updated_at', 'can_send_notification', 'send_notification',
      'mark_notifications_read', 'mark_notification_read', 'mark_all_notifications_read', 'get_unread_notification_count',
      'create_notification_from_template', 'schedule_session_reminders', 'cleanup_old_notifications',
      'get_or_create_direct_conversation', 'mark_conversation_as_read', 'get_unread_message_count', 'can_user_message_user',
      'get_last_messages_for_conversations', 'cleanup_expired_typing_indicators', 'archive_old_messages',
      'delete_archived_messages')
  loop
    execute format('drop function %s', item.signature);
  end loop;
end;
$$;
drop function private.my_file_ids, private.my_shared_file_ids;
drop type
  public.file_category, public.file_permission_type, public.mfa_method, public.mfa_status, public.security_severity,
  public.audit_action_type, public.session_request_status;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
