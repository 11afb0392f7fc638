-- Every enum of the base tables and of the review, labels in the order they have there. Nothing is ever added to them:
-- what a label cannot say is derived from amounts, times and further columns.
do $$
declare
  item record;
begin
  for item in
    select *
    from (values
      ('user_role', array['client', 'coach', 'admin']),
      ('user_status', array['active', 'inactive', 'suspended']),
      ('language', array['en', 'he']),
      ('session_status', array['scheduled', 'in_progress', 'completed', 'cancelled', 'rescheduled', 'no_show']),
      ('privacy_level', array['private', 'shared_with_client']),
      ('notification_type', array[
        'session_reminder', 'session_confirmation', 'new_message', 'system_update', 'welcome_message', 'goal_achieved',
        'appointment_reminder', 'coach_message', 'client_message', 'session_cancelled', 'session_rescheduled',
        'reflection_reminder', 'system_announcement', 'payment_reminder']),
      ('conversation_type', array['direct', 'group']),
      ('message_type', array['text', 'file', 'system']),
      ('message_status', array['sent', 'delivered', 'read']),
      ('attachment_type', array['image', 'document', 'video', 'audio', 'other']),
      ('session_billing_status', array['unbilled', 'awaiting_payment', 'paid', 'written_off']),
      ('session_attendee_role', array['client', 'coach', 'guest']),
      ('session_attendee_status', array['invited', 'confirmed', 'declined', 'checked_in']),
      ('payment_status', array['pending', 'paid', 'failed', 'canceled', 'refunded']),
      ('payment_intent_status',
        array['requires_payment_method', 'requires_confirmation', 'processing', 'succeeded', 'canceled']),
      ('payment_method_type', array['credit_card', 'bank_transfer', 'cash', 'voucher', 'other']),
      ('refund_status', array['pending', 'processing', 'succeeded', 'failed']),
      ('conversation_context_type', array['general', 'session', 'program']),
      ('message_delivery_channel', array['in_app', 'email', 'push']),
      ('message_delivery_status', array['pending', 'sent', 'failed'])
    ) as wanted (name, labels)
  loop
    if to_regtype(format('public.%I', item.name)) is null then
      execute format(
        'create type public.%I as enum (%s)',
        item.name,
        (select string_agg(quote_literal(label), ', ' order by place)
         from unnest(item.labels) with ordinality as l (label, place)));
    end if;
  end loop;
end;
$$;
