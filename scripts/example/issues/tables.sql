-- For SQLite and PostgreSQL. Each table has an index for each side from which questions look at it.
CREATE TABLE repositories (
  id integer PRIMARY KEY,
  organization_id integer NOT NULL,
  name text NOT NULL,
  is_public boolean NOT NULL
);
CREATE INDEX repositories_organization ON repositories (organization_id);
CREATE TABLE organization_members (
  organization_id integer NOT NULL,
  user_id text NOT NULL,
  role text NOT NULL,
  PRIMARY KEY (user_id, organization_id, role)
);
CREATE INDEX organization_members_organization ON organization_members (organization_id);
CREATE TABLE repository_members (
  repository_id integer NOT NULL,
  user_id text NOT NULL,
  role text NOT NULL,
  PRIMARY KEY (user_id, repository_id, role)
);
CREATE INDEX repository_members_repository ON repository_members (repository_id);
CREATE TABLE issues (
  id integer PRIMARY KEY,
  repository_id integer NOT NULL,
  author_id text NOT NULL,
  title text NOT NULL,
  created_at bigint NOT NULL
);
CREATE INDEX issues_repository ON issues (repository_id, created_at, id);
CREATE INDEX issues_author ON issues (author_id);
CREATE INDEX issues_newest ON issues (created_at, id);
CREATE INDEX issues_title ON issues (title, id);
