-- The document that the schema implements, as SQL. Changed in two ways only, without which it does not run: invoices come before
-- what points at them, and payments.status loses its default while its type changes.
-- Sessions
CREATE TYPE session_billing_status AS ENUM ('unbilled', 'awaiting_payment', 'paid', 'written_off');
CREATE TYPE session_attendee_role AS ENUM ('client', 'coach', 'guest');
CREATE TYPE session_attendee_status AS ENUM ('invited', 'confirmed', 'declined', 'checked_in');

-- Payments
CREATE TYPE payment_status AS ENUM ('pending', 'paid', 'failed', 'canceled', 'refunded');
CREATE TYPE payment_intent_status AS ENUM ('requires_payment_method', 'requires_confirmation', 'processing', 'succeeded', 'canceled');
CREATE TYPE payment_method_type AS ENUM ('credit_card', 'bank_transfer', 'cash', 'voucher', 'other');
CREATE TYPE refund_status AS ENUM ('pending', 'processing', 'succeeded', 'failed');

-- Messaging
CREATE TYPE conversation_context_type AS ENUM ('general', 'session', 'program');
CREATE TYPE message_delivery_channel AS ENUM ('in_app', 'email', 'push');
CREATE TYPE message_delivery_status AS ENUM ('pending', 'sent', 'failed');

CREATE TABLE session_templates (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  coach_id UUID REFERENCES users(id) ON DELETE CASCADE NOT NULL,
  title TEXT NOT NULL,
  description TEXT,
  default_duration_minutes INTEGER NOT NULL CHECK (default_duration_minutes > 0),
  default_price_cents INTEGER CHECK (default_price_cents >= 0),
  currency TEXT NOT NULL DEFAULT 'ILS',
  metadata JSONB DEFAULT '{}'::jsonb,
  is_active BOOLEAN NOT NULL DEFAULT TRUE,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE invoices (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID REFERENCES users(id) ON DELETE SET NULL,
  status payment_status NOT NULL DEFAULT 'pending',
  due_date TIMESTAMPTZ,
  total_amount_cents INTEGER NOT NULL CHECK (total_amount_cents >= 0),
  currency TEXT NOT NULL DEFAULT 'ILS',
  issued_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  paid_at TIMESTAMPTZ,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

ALTER TABLE sessions
  ADD COLUMN template_id UUID REFERENCES session_templates(id) ON DELETE SET NULL,
  ADD COLUMN location TEXT,
  ADD COLUMN price_cents INTEGER CHECK (price_cents >= 0),
  ADD COLUMN currency TEXT NOT NULL DEFAULT 'ILS',
  ADD COLUMN billing_status session_billing_status NOT NULL DEFAULT 'unbilled',
  ADD COLUMN invoice_id UUID REFERENCES invoices(id) ON DELETE SET NULL,
  ADD COLUMN cancellation_reason TEXT;

CREATE TABLE session_attendees (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  session_id UUID REFERENCES sessions(id) ON DELETE CASCADE NOT NULL,
  user_id UUID REFERENCES users(id) ON DELETE SET NULL,
  role session_attendee_role NOT NULL DEFAULT 'guest',
  status session_attendee_status NOT NULL DEFAULT 'invited',
  invited_by UUID REFERENCES users(id) ON DELETE SET NULL,
  checked_in_at TIMESTAMPTZ,
  notes TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE (session_id, user_id, role)
);

ALTER TABLE payments
  ALTER COLUMN status DROP DEFAULT,
  ALTER COLUMN status TYPE payment_status USING status::payment_status,
  ALTER COLUMN status SET DEFAULT 'pending',
  ADD COLUMN session_id UUID REFERENCES sessions(id) ON DELETE SET NULL,
  ADD COLUMN invoice_id UUID REFERENCES invoices(id) ON DELETE SET NULL;

CREATE TABLE invoice_line_items (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  invoice_id UUID REFERENCES invoices(id) ON DELETE CASCADE NOT NULL,
  session_id UUID REFERENCES sessions(id) ON DELETE SET NULL,
  description TEXT NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity > 0),
  amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE payment_methods (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID REFERENCES users(id) ON DELETE CASCADE NOT NULL,
  type payment_method_type NOT NULL,
  provider TEXT NOT NULL,
  provider_method_id TEXT,
  last4 TEXT,
  exp_month INTEGER CHECK (exp_month BETWEEN 1 AND 12),
  exp_year INTEGER,
  brand TEXT,
  is_default BOOLEAN NOT NULL DEFAULT FALSE,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE (user_id, provider, provider_method_id)
);

CREATE TABLE payment_intents (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID REFERENCES users(id) ON DELETE SET NULL,
  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
  currency TEXT NOT NULL DEFAULT 'ILS',
  status payment_intent_status NOT NULL DEFAULT 'requires_payment_method',
  payment_method_id UUID REFERENCES payment_methods(id) ON DELETE SET NULL,
  client_secret TEXT,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

ALTER TABLE payments
  ADD COLUMN intent_id UUID REFERENCES payment_intents(id) ON DELETE SET NULL,
  ADD COLUMN method_id UUID REFERENCES payment_methods(id) ON DELETE SET NULL;

CREATE TABLE payment_line_items (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  payment_id UUID REFERENCES payments(id) ON DELETE CASCADE NOT NULL,
  description TEXT NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity > 0),
  amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
  session_id UUID REFERENCES sessions(id) ON DELETE SET NULL,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE payment_refunds (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  payment_id UUID REFERENCES payments(id) ON DELETE CASCADE NOT NULL,
  amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
  status refund_status NOT NULL DEFAULT 'pending',
  reason TEXT,
  provider_refund_id TEXT,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  processed_at TIMESTAMPTZ
);

CREATE TABLE conversation_contexts (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  conversation_id UUID REFERENCES conversations(id) ON DELETE CASCADE UNIQUE,
  context_type conversation_context_type NOT NULL DEFAULT 'general',
  session_id UUID REFERENCES sessions(id) ON DELETE SET NULL,
  metadata JSONB DEFAULT '{}'::jsonb,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

CREATE TABLE message_delivery_states (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  message_id UUID REFERENCES messages(id) ON DELETE CASCADE NOT NULL,
  channel message_delivery_channel NOT NULL,
  status message_delivery_status NOT NULL DEFAULT 'pending',
  sent_at TIMESTAMPTZ,
  error_message TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE (message_id, channel)
);

CREATE TABLE message_mentions (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  message_id UUID REFERENCES messages(id) ON DELETE CASCADE NOT NULL,
  mentioned_user_id UUID REFERENCES users(id) ON DELETE CASCADE NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE (message_id, mentioned_user_id)
);

