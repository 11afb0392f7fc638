create or replace function private.money_text(p_amount_cents bigint, p_currency text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select p_currency || ' ' || to_char(
    p_amount_cents / power(10::numeric, coalesce(private.currency_exponent(p_currency), 2)),
    case coalesce(private.currency_exponent(p_currency), 2)
      when 0 then 'FM999,999,999,999,990'
      when 3 then 'FM999,999,999,990.000'
      else 'FM9,999,999,999,990.00'
    end
  )
$$;
comment on function private.money_text(bigint, text) is 'An amount in minor units as a person reads it in either language: ILS 1,250.00.';
revoke execute on function private.money_text(bigint, text) from public, anon, authenticated, service_role;

create or replace function private.notice_words(p_kind text)
returns table (
  type public.notification_type, topic text, en_title text, en_message text, he_title text, he_message text
)
language sql
immutable
security invoker
set search_path = ''
as $$
  select w.type::public.notification_type, w.topic, w.en_title, w.en_message, w.he_title, w.he_message
  from (values
    ('session_booked', 'session_confirmation', 'session_updates',
      'New booking', '{who} booked “{what}” on {when}.',
      'הזמנה חדשה', 'נקבעה פגישה עם {who}: „{what}”, {when}.'),
    ('session_requested', 'session_confirmation', 'session_updates',
      'Somebody asks for a time', '{who} asks for “{what}” on {when}. Please answer.',
      'בקשה למועד', 'התקבלה בקשה מ{who}: „{what}”, {when}. נא להשיב.'),
    ('request_declined', 'session_cancelled', 'session_updates',
      'Not at that time', '{who} cannot offer you “{what}” on {when}.',
      'הבקשה נדחתה', 'המועד שביקשת אינו מתאים: „{what}”, {when}. התשובה מ{who}.'),
    ('session_planned', 'session_confirmation', 'session_updates',
      'A session for you', '{who} planned “{what}” with you on {when}.',
      'נקבעה לך פגישה', 'נקבעה לך פגישה עם {who}: „{what}”, {when}.'),
    ('session_invited', 'session_confirmation', 'session_updates',
      'You are invited', '{who} invites you to “{what}” on {when}. Please answer.',
      'יש לך הזמנה', 'הזמנה מ{who} אל „{what}”, {when}. נא להשיב.'),
    ('seat_confirmed', 'session_confirmation', 'session_updates',
      'Coming', '{who} comes to “{what}” on {when}.',
      'אישור הגעה', 'התקבל אישור הגעה מ{who} אל „{what}”, {when}.'),
    ('seat_declined', 'session_confirmation', 'session_updates',
      'Not coming', '{who} does not come to “{what}” on {when}.',
      'ביטול הגעה', 'התקבלה תשובה שלילית מ{who} לגבי „{what}”, {when}.'),
    ('seat_given_up', 'session_cancelled', 'session_updates',
      'A seat is free again', '{who} gave up the seat in “{what}” on {when}.',
      'התפנה מקום', 'התפנה המקום של {who} בפגישה „{what}”, {when}.'),
    ('seat_taken_away', 'session_cancelled', 'session_updates',
      'Your seat was cancelled', 'Your seat in “{what}” on {when} was cancelled by {who}.',
      'המקום שלך בוטל', 'המקום שלך בפגישה „{what}”, {when}, בוטל על ידי {who}.'),
    ('session_cancelled', 'session_cancelled', 'session_updates',
      'Session cancelled', '“{what}” on {when} was cancelled by {who}.',
      'הפגישה בוטלה', 'הפגישה „{what}”, {when}, בוטלה על ידי {who}.'),
    ('session_moved', 'session_rescheduled', 'session_updates',
      'Session moved', '“{what}” was moved by {who}. It is now on {when}.',
      'מועד הפגישה השתנה', 'מועד הפגישה „{what}” שונה על ידי {who}. המועד החדש: {when}.'),
    ('session_reminder', 'session_reminder', 'session_reminders',
      'Reminder', '“{what}” with {who} begins on {when}.',
      'תזכורת', 'הפגישה „{what}” עם {who} מתחילה ב־{when}.'),
    ('invoice_issued', 'payment_reminder', 'payments',
      'New invoice', '{who} sent you an invoice: {what}.',
      'חשבון חדש', 'התקבל חשבון מ{who}: {what}.'),
    ('gateway_alert', 'system_update', 'payments',
      'A question about a card payment', '{what}',
      'שאלה לגבי תשלום בכרטיס', '{what}'),
    ('pay_link', 'payment_reminder', 'payments',
      'Your card could not be charged', 'Please pay {what} yourself.',
      'לא ניתן היה לחייב את הכרטיס', 'נא לשלם {what}.'),
    ('card_unusable', 'system_update', 'payments',
      'Your kept card is no longer good', 'Your card {what}, kept with {who}, can’t be charged any more. Please keep another one.',
      'הכרטיס השמור שלך אינו תקף', 'לא ניתן עוד לחייב את הכרטיס {what} השמור שלך אצל {who}. נא לשמור כרטיס אחר.'),
    ('client_card_unusable', 'system_update', 'payments',
      'A kept card is no longer good', 'The card {what} that {who} keeps with you can’t be charged any more, and its owner was told.',
      'כרטיס שמור אינו תקף', 'לא ניתן עוד לחייב את הכרטיס השמור {what} של {who}. נשלחה הודעה על כך.'),
    ('hold_booked', 'session_confirmation', 'session_updates',
      'Paid and booked', 'Your payment came, and “{what}” with {who} on {when} is yours.',
      'שולם ונקבע', 'התשלום התקבל והפגישה „{what}” עם {who}, {when}, נקבעה.'),
    ('hold_lost', 'session_cancelled', 'payments',
      'The time was gone', '“{what}” with {who} on {when} was no longer free when your payment came. The money goes back to you.',
      'המועד כבר נתפס', 'המועד של „{what}” עם {who}, {when}, כבר לא היה פנוי כשהתשלום הגיע. הכסף מוחזר אליך.'),
    ('hold_refunded', 'system_update', 'payments',
      'A payment came too late', '{who} paid for “{what}” on {when} when it was no longer free. The money goes back.',
      'תשלום שהגיע מאוחר מדי', 'התקבל תשלום מ{who} עבור „{what}”, {when}, כשהמועד כבר לא היה פנוי. הכסף מוחזר.'),
    ('card_charged', 'system_update', 'payments',
      'Your card was charged', '{who} charged {what} to the card that you keep there.',
      'הכרטיס שלך חויב', 'הכרטיס השמור שלך חויב על ידי {who}: {what}.'),
    ('payment_received', 'system_update', 'payments',
      'Payment received', '{who} paid {what}.',
      'התקבל תשלום', 'התקבל תשלום מ{who}: {what}.'),
    ('payment_recorded', 'system_update', 'payments',
      'Payment recorded', '{who} recorded your payment of {what}.',
      'התשלום נרשם', 'התשלום שלך נרשם על ידי {who}: {what}.'),
    ('refund_made', 'system_update', 'payments',
      'Refund', '{who} gave you {what} back.',
      'החזר כספי', 'קיבלת החזר מ{who}: {what}.'),
    ('note_shared', 'coach_message', 'messages',
      'A note for you', '{who} shared a note with you: “{what}”.',
      'רשימה חדשה עבורך', 'שותפה איתך רשימה מ{who}: „{what}”.'),
    ('coach_invites', 'system_update', 'system_updates',
      'A coach invites you', '{who} would like you as a client. Please answer.',
      'הזמנה מקואצ׳ר/ית', '{who} רוצה לעבוד איתך. נא להשיב.'),
    ('invitation_accepted', 'system_update', 'system_updates',
      'Invitation accepted', '{who} is now your client.',
      'ההזמנה התקבלה', 'התווסף אליך לקוח: {who}.'),
    ('invitation_declined', 'system_update', 'system_updates',
      'Invitation declined', '{who} declined your invitation.',
      'ההזמנה נדחתה', 'התקבלה תשובה שלילית להזמנה מ{who}.'),
    ('client_left', 'system_update', 'system_updates',
      'A client left', '{who} is no longer your client.',
      'סיום קשר', 'הקשר עם {who} הסתיים.')
  ) as w (kind, type, topic, en_title, en_message, he_title, he_message)
  where w.kind = p_kind
$$;
comment on function private.notice_words(text) is
  'What a kind of notice says in each language, its type, and the choice (inapp_<topic>) that switches it off. {who}, {what} and {when} are filled in.';
revoke execute on function private.notice_words(text) from public, anon, authenticated, service_role;
