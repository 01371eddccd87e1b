-- Accounts. Ids are 20 characters of a-z0-9, made by the server.
-- "user", session, account and verification are better-auth's core tables, in its own shape with snake_case columns.
create table "user" (
  id text primary key,
  name text not null,
  email text not null unique,
  email_verified boolean not null default false,
  image text,
  administrator boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table session (
  id text primary key,
  user_id text not null references "user" (id) on delete cascade,
  token text not null unique,
  expires_at timestamptz not null,
  ip_address text,
  user_agent text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index session_user_id on session (user_id);

create table account (
  id text primary key,
  user_id text not null references "user" (id) on delete cascade,
  account_id text not null,
  provider_id text not null,
  access_token text,
  refresh_token text,
  id_token text,
  access_token_expires_at timestamptz,
  refresh_token_expires_at timestamptz,
  scope text,
  password text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index account_user_id on account (user_id);

create table verification (
  id text primary key,
  identifier text not null,
  value text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index verification_identifier on verification (identifier);

create table api_token (
  id text primary key,
  user_id text not null references "user" (id) on delete cascade,
  name text not null,
  -- SHA-256 of the token: it is 160 random bits, so a slow hash would add nothing.
  hash bytea not null unique,
  created_at timestamptz not null default now(),
  last_used_at timestamptz,
  expires_at timestamptz
);
create index api_token_user_id on api_token (user_id);

create table audit_event (
  id bigint generated always as identity primary key,
  time timestamptz not null default now(),
  -- No foreign keys: the trail outlives what it speaks of.
  user_id text,
  project_id text,
  action text not null,
  subject text not null,
  details jsonb not null default '{}'
);
create index audit_event_project on audit_event (project_id, id desc);

create table idempotency_key (
  user_id text not null references "user" (id) on delete cascade,
  key text not null,
  -- SHA-256 of method, path and body: the same key with another request is a mistake that is answered with 409.
  request_hash bytea not null,
  -- Null while the first request is still being worked on.
  status integer,
  body jsonb,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index idempotency_key_created_at on idempotency_key (created_at);
