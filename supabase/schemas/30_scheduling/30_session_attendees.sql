-- Who takes part in a session: one row per seat, the coach's and the client's own included.

create table if not exists public.session_attendees (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references public.sessions (id) on delete cascade,
  user_id uuid references public.users (id) on delete set null,
  role public.session_attendee_role not null default 'guest',
  status public.session_attendee_status not null default 'invited',
  invited_by uuid references public.users (id) on delete set null,
  checked_in_at timestamptz,
  notes text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  coach_id uuid not null references public.users (id) on delete cascade,
  coach_client_id uuid references public.coach_clients (id) on delete set null,
  display_name text,
  email text,
  price_cents integer,
  currency text not null,
  billing_status public.session_billing_status not null default 'unbilled',
  responded_at timestamptz,
  cancelled_at timestamptz,
  cancelled_by uuid references public.users (id) on delete set null,
  cancellation_reason text,
  attendance text,
  terms jsonb,
  moves_made integer not null default 0,
  unique (session_id, user_id, role),
  constraint session_attendees_price_range check (price_cents >= 0),
  constraint session_attendees_currency_code check (private.is_currency(currency)),
  constraint session_attendees_checked_in check ((status = 'checked_in') = (checked_in_at is not null)),
  constraint session_attendees_attendance_kind check (attendance in ('in', 'out', 'no_show')),
  constraint session_attendees_attendance_of_status
    check ((status = 'checked_in') = (coalesce(attendance, '') in ('in', 'out'))),
  constraint session_attendees_email_form check (email = lower(email) and char_length(email) <= 254 and email like '_%@_%'),
  constraint session_attendees_name_length check (char_length(btrim(display_name)) between 1 and 200),
  constraint session_attendees_name_plain check (private.is_plain_line(display_name)),
  constraint session_attendees_notes_length check (char_length(notes) <= 5000)
);
comment on table public.session_attendees is
  'One seat of a session: the answer to the invitation, the check-in, the price and how it stands with the money. A guest has no user but an e-mail address.';
comment on column public.session_attendees.coach_id is 'The session''s coach, kept by trigger, so that policies need not look into sessions.';
comment on column public.session_attendees.coach_client_id is 'The entry among the coach''s clients that this seat is billed to.';
comment on column public.session_attendees.notes is 'Read by the seat''s own person. Private notes belong in coach_notes.';
comment on column public.session_attendees.price_cents is 'The price of this seat in minor units of currency, from the session unless said otherwise; null is not decided.';
comment on column public.session_attendees.billing_status is 'Moved by billing only.';
comment on column public.session_attendees.cancelled_at is 'When the seat was given up or taken away; it then takes no place.';
comment on column public.session_attendees.cancelled_by is
  'Whose wish it was; null for a guest, who has no account. Who did it stands in session_events.';
comment on column public.session_attendees.attendance is
  'What is in force of attendance_events: in, out (came and left), no_show, or null as long as nobody has said. Money follows this, never the answer to the invitation.';
comment on column public.session_attendees.terms is 'What giving the seat up costs: the policy as it was when the seat was made. See cancellation_policies.';
comment on column public.session_attendees.moves_made is 'How often the seat''s own person has moved the session.';
comment on column public.session_attendees.responded_at is 'When the person last answered the invitation.';

-- One seat per person whatever the role, and one per guest's address.
create unique index if not exists session_attendees_one_seat_per_user
  on public.session_attendees (session_id, user_id) where user_id is not null;
create unique index if not exists session_attendees_one_seat_per_guest
  on public.session_attendees (session_id, email) where user_id is null and email is not null;
create index if not exists session_attendees_user_idx on public.session_attendees (user_id, session_id);
-- What policies ask at every statement. A coach holds a seat in each session of theirs, and those are not asked for.
create index if not exists session_attendees_held_idx on public.session_attendees (user_id, session_id)
  where role <> 'coach' and cancelled_at is null;
create index if not exists session_attendees_coach_idx on public.session_attendees (coach_id, billing_status);
create index if not exists session_attendees_coach_client_idx on public.session_attendees (coach_client_id);
create index if not exists session_attendees_invited_by_idx on public.session_attendees (invited_by);
create index if not exists session_attendees_cancelled_by_idx on public.session_attendees (cancelled_by);

revoke all on public.session_attendees from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.session_attendees to service_role;
grant select on public.session_attendees to authenticated;
grant update (notes, display_name, price_cents) on public.session_attendees to authenticated;

alter table public.session_attendees enable row level security;

-- The review's placeholder would do no harm beside real policies, but says something that is no longer true.
drop policy if exists session_attendees_service_only on public.session_attendees;

drop policy if exists session_attendees_select_people on public.session_attendees;
create policy session_attendees_select_people on public.session_attendees for select to authenticated
  using (
    user_id = (select private.me()) or coach_id = (select private.me()) or (select private.i_am_admin())
  );
comment on policy session_attendees_select_people on public.session_attendees is
  'A seat is seen by its own person, the coach and an admin. Other attendees get names through session_roster.';

drop policy if exists session_attendees_update_coach on public.session_attendees;
create policy session_attendees_update_coach on public.session_attendees for update to authenticated
  using (coach_id = (select private.me()))
  with check (coach_id = (select private.me()));
comment on policy session_attendees_update_coach on public.session_attendees is
  'The coach sets the name, the shared note and the price of a seat; answers and check-ins go through functions.';

drop trigger if exists session_attendees_touch on public.session_attendees;
create trigger session_attendees_touch before update on public.session_attendees
  for each row execute function private.touch_updated_at();
