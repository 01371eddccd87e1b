create table project (
  id text primary key,
  name text not null unique,
  description text not null default '',
  -- Listener of the project's own on the apps address where there is no wildcard DNS; from 20000 up.
  port integer not null unique,
  -- Which deployment the project's URL leads to; foreign key in 0003.
  serving_deployment_id text,
  created_at timestamptz not null default now()
);

create table project_member (
  project_id text not null references project (id) on delete cascade,
  user_id text not null references "user" (id) on delete cascade,
  role text not null check (role in ('viewer', 'developer', 'owner')),
  created_at timestamptz not null default now(),
  primary key (project_id, user_id)
);
create index project_member_user_id on project_member (user_id);

-- Environment variables of a project, a new version for every change; the values are encrypted as one whole.
create table config_version (
  id text primary key,
  project_id text not null references project (id) on delete cascade,
  number integer not null,
  -- AES-256-GCM: 12 bytes nonce, ciphertext of a JSON object, 16 bytes tag; the project's id is the additional data.
  sealed bytea not null,
  key_id text not null,
  created_by text,
  created_at timestamptz not null default now(),
  unique (project_id, number)
);
