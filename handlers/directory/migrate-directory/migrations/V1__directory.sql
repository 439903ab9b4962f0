-- Folded texts are in lower case and without diacritics; the functions write them. Collation "C" compares bytes, so every
-- instance sorts alike.
CREATE TABLE departments (
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL UNIQUE,
    folded_name text COLLATE "C" NOT NULL
);

CREATE TABLE advisors (
    id text COLLATE "C" PRIMARY KEY,
    given_name text NOT NULL,
    family_name text NOT NULL,
    email text NOT NULL UNIQUE,
    office text,
    folded_name text COLLATE "C" NOT NULL
);
CREATE INDEX ON advisors (folded_name, id);

CREATE TABLE courses (
    id text COLLATE "C" PRIMARY KEY,
    title text NOT NULL,
    description text NOT NULL,
    credits integer NOT NULL,
    department text COLLATE "C" NOT NULL REFERENCES departments,
    folded_title text COLLATE "C" NOT NULL
);
CREATE INDEX ON courses (folded_title, id);
CREATE INDEX ON courses (department);

-- Advisors advise the students of departments.
CREATE TABLE advises (
    advisor text COLLATE "C" NOT NULL REFERENCES advisors ON DELETE CASCADE,
    department text COLLATE "C" NOT NULL REFERENCES departments,
    PRIMARY KEY (advisor, department)
);
CREATE INDEX ON advises (department);

CREATE TABLE teaches (
    advisor text COLLATE "C" NOT NULL REFERENCES advisors ON DELETE CASCADE,
    course text COLLATE "C" NOT NULL REFERENCES courses ON DELETE CASCADE,
    PRIMARY KEY (course, advisor)
);
CREATE INDEX ON teaches (advisor);

-- Roles belong to the cluster, so they can be there already. On RDS, rds_iam makes a role sign in with IAM tokens:
-- https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'directory_reader') THEN
        CREATE ROLE directory_reader LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'directory_writer') THEN
        CREATE ROLE directory_writer LOGIN;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO directory_reader, directory_writer;
    END IF;
END
$$;
GRANT SELECT ON departments, advisors, courses, advises, teaches TO directory_reader, directory_writer;
GRANT INSERT, UPDATE, DELETE ON departments, advisors, courses, advises, teaches TO directory_writer;

-- Settings of the roles, because a SET would pin a connection of RDS Proxy to its client. A tombstone in the cache outlives
-- a transaction: it lasts five seconds.
ALTER ROLE directory_reader SET default_transaction_read_only = on;
ALTER ROLE directory_reader SET statement_timeout = '2s';
ALTER ROLE directory_writer SET statement_timeout = '2s';
ALTER ROLE directory_writer SET lock_timeout = '1s';
ALTER ROLE directory_writer SET idle_in_transaction_session_timeout = '3s';
ALTER ROLE directory_writer SET transaction_timeout = '4s';
