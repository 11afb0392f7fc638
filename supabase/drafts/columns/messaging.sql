alter table public.conversations
  add column if not exists last_seq bigint not null default 0,
  add column if not exists direct_key text;
alter table public.conversation_participants
  add column if not exists last_read_seq bigint not null default 0,
  add column if not exists own_after_read bigint not null default 0,
  add column if not exists history_from_seq bigint not null default 1,
  add column if not exists left_by uuid;
alter table public.messages
  add column if not exists seq bigint,
  add column if not exists client_message_id uuid,
  add column if not exists client_digest text,
  add column if not exists deleted_at timestamptz,
  add column if not exists deleted_by uuid;
alter table public.message_reactions
  add column if not exists conversation_id uuid,
  add column if not exists message_seq bigint;
alter table public.message_attachments
  add column if not exists conversation_id uuid,
  add column if not exists message_seq bigint;
alter table public.message_read_receipts
  add column if not exists conversation_id uuid,
  add column if not exists message_seq bigint;
