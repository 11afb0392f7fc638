-- Answers of a gateway that are clear and still no ordinary no: somebody has to put something right.

create or replace function private.note_answer(p_account_id uuid, p_subject_id uuid, p_reason text, p_message text, p_good boolean)
  returns void
  language plpgsql security definer set search_path = '' as $$
begin
  if p_good then
    -- What was wrong with the account is so no more.
    update public.gateway_alerts set closed_at = now()
    where gateway_account_id = p_account_id and kind = 'odd_answer' and subject_id is null and closed_at is null;
  end if;
  if p_reason in ('sum_was_changed', 'partial_approval', 'amount_too_large', 'refund_exceeds_charge') then
    perform private.open_gateway_alert(p_account_id, 'odd_answer', p_subject_id, format('%s: %s', p_reason, p_message));
  elsif p_reason in ('terminal_broken', 'not_permitted', 'currency_not_allowed', 'invalid_request', 'code_not_known', 'credentials_refused',
      'original_not_found') then
    -- The next payer will fare no better: one alert for the account.
    perform private.open_gateway_alert(p_account_id, 'odd_answer', null, format('%s: %s', p_reason, p_message));
  end if;
end $$;
comment on function private.note_answer(uuid, uuid, text, text, boolean) is
  'security definer: writes rows that nobody may write. Opens an alert where an answer says that the terminal, its terms or our own request is wrong, or a sum was changed.';
revoke execute on function private.note_answer(uuid, uuid, text, text, boolean) from public, anon, authenticated, service_role;
