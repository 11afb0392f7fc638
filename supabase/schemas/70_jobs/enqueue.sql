-- The one way to put work into the queue, inside the transaction that causes the work: rolled back with it, never lost.
-- The queue's own tables (schema jobs) come from the installed procrastinate; `loom db migrate` brings them.
create or replace function private.enqueue(
  p_task text,
  p_args jsonb default '{}',
  p_run_at timestamptz default null,
  p_lock text default null,
  p_queueing_lock text default null
) returns bigint
  language plpgsql
  volatile
  security definer
  set search_path = ''
as $$
declare
  v_ids bigint[];
begin
  if to_regclass('jobs.procrastinate_jobs') is null then
    raise exception 'the job queue is not installed' using
      errcode = '55000',
      constraint = 'queue_missing',
      hint = 'Run `loom db migrate` against this database once.';
  end if;
  begin
    v_ids := jobs.procrastinate_defer_jobs_v1(array[
      row('default', p_task, 0, p_lock, p_queueing_lock, coalesce(p_args, '{}'), p_run_at)
        ::jobs.procrastinate_job_to_defer_v1
    ]);
  exception when unique_violation then
    -- Somebody asked for the same already and it has not begun: once is enough.
    if p_queueing_lock is null then
      raise;
    end if;
    return null;
  end;
  return v_ids[1];
end
$$;
comment on function private.enqueue(text, jsonb, timestamptz, text, text) is
  'security definer: users cause jobs but may not touch the queue. Called inside definer functions and triggers, and by '
  'service_role. Returns the job''s id; null when p_queueing_lock is waiting already. p_lock: jobs of one lock run one '
  'after another.';
revoke execute on function private.enqueue(text, jsonb, timestamptz, text, text)
  from public, anon, authenticated, service_role;
grant execute on function private.enqueue(text, jsonb, timestamptz, text, text) to service_role;
