-- A metadata database for teams that have none: what is behind the view `plimsoll.models`, who may publish, and who may
-- only read. The view alone is the contract. Whoever has tables of their own makes the view over those instead, and takes
-- from here the role that reads.
--
--   psql --single-transaction -v ON_ERROR_STOP=1 -f 0001_models.sql ml       as the owner of the database, who may make roles
--   psql -c '\password plimsoll_reader' ml                                   so that the password is in no file and no log
--
-- Roles belong to the whole server: where another of its databases has this registry too, they are there already.

CREATE SCHEMA plimsoll;

CREATE TABLE plimsoll.version (
    name       text NOT NULL,
    version    text NOT NULL CHECK (version !~ '^@|/' AND version <> 'latest'),
    uri        text NOT NULL CHECK (uri ~ '^(s3|https?|oci)://'),
    digest     text CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    metadata   jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);

-- An alias is of one version at a time, and may move.
CREATE TABLE plimsoll.alias (
    name    text NOT NULL,
    alias   text NOT NULL CHECK (alias !~ '^@|/'),
    version text NOT NULL,
    PRIMARY KEY (name, alias),
    FOREIGN KEY (name, version) REFERENCES plimsoll.version
);

CREATE VIEW plimsoll.models AS
SELECT name, version, ARRAY(SELECT alias FROM plimsoll.alias a WHERE (a.name, a.version) = (v.name, v.version)) AS aliases,
       uri, digest, metadata
FROM plimsoll.version v;

-- The fetcher's: this view and nothing else, for as long as one look takes.
CREATE ROLE plimsoll_reader LOGIN;
ALTER ROLE plimsoll_reader SET default_transaction_read_only = on;
ALTER ROLE plimsoll_reader SET statement_timeout = '10s';
ALTER ROLE plimsoll_reader SET idle_session_timeout = '60s';
GRANT USAGE ON SCHEMA plimsoll TO plimsoll_reader;
GRANT SELECT ON plimsoll.models TO plimsoll_reader;

-- For whoever publishes, as in `GRANT plimsoll_publisher TO pipeline`: versions are added and never changed, aliases move.
CREATE ROLE plimsoll_publisher NOLOGIN;
GRANT USAGE ON SCHEMA plimsoll TO plimsoll_publisher;
GRANT SELECT, INSERT ON plimsoll.version TO plimsoll_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON plimsoll.alias TO plimsoll_publisher;
