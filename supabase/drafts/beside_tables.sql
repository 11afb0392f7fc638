  beside_tables constant text[] := array[
    'coach_profiles', 'session_requests', 'session_ratings', 'session_feedback', 'session_files', 'file_uploads', 'file_shares',
    'message_analytics_events', 'message_analytics_daily', 'notification_templates', 'notification_delivery_logs'
  ];
