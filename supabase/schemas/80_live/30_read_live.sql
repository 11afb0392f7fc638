-- A cursor is "epoch-transaction-id". It is a place in the log and no secret: who may see what lies after it, the policies say.

create or replace function private.live_cursor(p_xid xid8, p_id bigint)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select l.epoch || '-' || p_xid::text || '-' || p_id::text from private.live_log as l
$$;
comment on function private.live_cursor(xid8, bigint) is
  'security definer: reads the epoch of the log, which API roles may not. A place in the log as streams write it.';
revoke execute on function private.live_cursor(xid8, bigint) from public, anon, authenticated, service_role;
grant execute on function private.live_cursor(xid8, bigint) to authenticated, service_role;

create or replace function private.live_place(p_cursor text, out place_xid xid8, out place_id bigint)
returns record
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_parts text[] := regexp_match(p_cursor, '^([0-9a-f]{8})-([0-9]{1,18})-([0-9]{1,18})$');
begin
  -- Nothing but a place that this log has reached and still reaches back to counts: any other would leave out events in silence.
  select v_parts[2]::xid8, v_parts[3]::bigint into place_xid, place_id
  from private.live_log as l
  where l.epoch = v_parts[1]
    and l.epoch = private.live_epoch()
    and v_parts[2]::xid8 <= pg_snapshot_xmax(pg_current_snapshot())
    and (v_parts[2]::xid8, v_parts[3]::bigint) >= (l.pruned_xid, l.pruned_id);
end;
$$;
comment on function private.live_place(text) is
  'security definer: reads how far back the log goes, which API roles may not. The place that a cursor means; nulls when it means none, and the reader must start anew.';
revoke execute on function private.live_place(text) from public, anon, authenticated, service_role;
grant execute on function private.live_place(text) to authenticated, service_role;

create or replace function private.live_end(out place_xid xid8, out place_id bigint)
returns record
language sql
stable
security definer
set search_path = ''
as $$
  -- All below the oldest open transaction has ended: nothing can appear there any more. The place is that of an event and not of that
  -- transaction: a server that crashes gives numbers out anew of which nothing had been written, and an event that is seen has been.
  select coalesce(e.xid, l.pruned_xid), coalesce(e.id, l.pruned_id)
  from private.live_log as l
  left join lateral (
    select x.xid, x.id
    from public.live_events as x
    where x.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by x.xid desc, x.id desc
    limit 1
  ) as e on true
$$;
comment on function private.live_end() is
  'security definer: reads how far the log goes, which API roles may not. The place of the last event up to which nothing can appear any more.';
revoke execute on function private.live_end() from public, anon, authenticated, service_role;
grant execute on function private.live_end() to authenticated, service_role;

create or replace function public.live_since(p_after text default null, p_until text default null, p_limit integer default 500)
returns table (cursor text, kind text, data json)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_from record;
  v_until record;
  v_count bigint := 0;
  v_limit integer := least(greatest(coalesce(p_limit, 500), 1), 1000);
  v_last text;
begin
  if private.me() is null then
    return;
  end if;
  v_from := private.live_place(p_after);
  v_until := private.live_place(p_until);
  if v_until.place_xid is null then
    v_until := private.live_end();
  end if;
  if v_from.place_xid is null then
    return query select private.live_cursor(v_until.place_xid, v_until.place_id), case when p_after is null then 'ready' else 'reset' end, null::json;
    return;
  end if;
  for cursor, kind, data in
    select private.live_cursor(f.xid, f.id), f.kind, f.data
    from public.live_feed as f
    where (f.xid, f.id) > (v_from.place_xid, v_from.place_id) and (f.xid, f.id) <= (v_until.place_xid, v_until.place_id)
    order by f.xid, f.id
    limit v_limit
  loop
    v_count := v_count + 1;
    v_last := cursor;
    return next;
  end loop;
  if v_count = v_limit then
    return query select v_last, 'more', null::json;
  elsif (v_until.place_xid, v_until.place_id) > (v_from.place_xid, v_from.place_id) then
    return query select private.live_cursor(v_until.place_xid, v_until.place_id), 'ready', null::json;
  else
    return query select p_after, 'ready', null::json;
  end if;
end;
$$;
comment on function public.live_since(text, text, integer) is
  'What changed for the caller after a cursor, oldest first, then one row "ready", "more" (ask again from its cursor) or "reset" (the log does not know this cursor: fetch everything anew). Without a cursor only "ready".';
revoke execute on function public.live_since(text, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.live_since(text, text, integer) to authenticated;

create or replace function private.open_live(out epoch text, out key bytea, out xid text, out id bigint)
returns record
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_epoch text := private.live_epoch();
begin
  if exists (select from private.live_log as l where l.epoch <> v_epoch) then
    -- A copy of a database brings a log whose numbers are another server's: they would lie above or below all that follow.
    perform from private.live_log for update;
    if exists (select from private.live_log as l where l.epoch <> v_epoch) then
      delete from public.live_events;
      update private.live_log as l set epoch = v_epoch, pruned_xid = '0', pruned_id = 0;
    end if;
  end if;
  select l.epoch, l.key, e.place_xid::text, e.place_id into epoch, key, xid, id
  from private.live_log as l cross join private.live_end() as e;
end;
$$;
comment on function private.open_live() is
  'security definer: renews the log, which nobody may write. What a process that begins to read the log has to know; a log that came from elsewhere is emptied.';
revoke execute on function private.open_live() from public, anon, authenticated, service_role;
grant execute on function private.open_live() to service_role;

create or replace function private.read_live(p_xid text, p_id bigint, p_limit integer)
returns table (
  xid text, id bigint, cursor text, kind text, data text, readers bytea, conversation_id uuid, waiting boolean
)
language plpgsql
stable
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_epoch text := (select l.epoch || '-' from private.live_log as l);
  v_count bigint := 0;
begin
  for xid, id, kind, data, conversation_id, readers in
    select
      f.xid::text, f.id, f.kind, f.data::text, f.conversation_id,
      (
        select coalesce(string_agg(uuid_send(r.user_id), ''), '')
        from private.live_readers as r
        where r.xid = f.xid and r.id = f.id
      )
    from public.live_feed as f
    where (f.xid, f.id) > (p_xid::xid8, p_id) and f.xid < v_horizon
    order by f.xid, f.id
    limit p_limit
  loop
    v_count := v_count + 1;
    cursor := v_epoch || xid || '-' || id;
    return next;
  end loop;
  -- The last row says how far this went, and whether something is committed that an older transaction still hides.
  if v_count = 0 then
    xid := p_xid;
    id := p_id;
  end if;
  cursor := v_epoch || xid || '-' || id;
  kind := null;
  conversation_id := null;
  data := null;
  readers := null;
  waiting := v_count = p_limit or exists (select from public.live_events as e where e.xid >= v_horizon);
  return next;
end;
$$;
comment on function private.read_live(text, bigint, integer) is
  'security definer: reads for everybody at once, with whom each event is for (ids of 16 bytes, one after another). For the one reader of a process.';
revoke execute on function private.read_live(text, bigint, integer) from public, anon, authenticated, service_role;
grant execute on function private.read_live(text, bigint, integer) to service_role;

create or replace function private.prune_live(p_keep interval)
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_end record;
  v_gone bigint;
begin
  perform from private.live_log for update;
  select e.xid, e.id into v_end
  from public.live_events as e
  where e.created_at < now() - p_keep and e.xid < pg_snapshot_xmin(pg_current_snapshot())
  order by e.xid desc, e.id desc
  limit 1;
  if not found then
    return 0;
  end if;
  update private.live_log as l set pruned_xid = v_end.xid, pruned_id = v_end.id;
  delete from public.live_events as e where (e.xid, e.id) <= (v_end.xid, v_end.id);
  get diagnostics v_gone = row_count;
  return v_gone;
end;
$$;
comment on function private.prune_live(interval) is
  'security definer: deletes from the log, which nobody may. Throws away what is older; a stream that was away for longer is told to start anew.';
revoke execute on function private.prune_live(interval) from public, anon, authenticated, service_role;
grant execute on function private.prune_live(interval) to service_role;
