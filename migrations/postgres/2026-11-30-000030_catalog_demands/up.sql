-- What an operator demands of a catalog's packages beside their author's signature. Lists, as JSON: which repositories' workflows must have
-- attested them (`OWNER/REPOSITORY[:WORKFLOW]`), and which versions with which digest are taken (`NAME@VERSION=SHA256`); empty: nothing.
ALTER TABLE catalogs ADD COLUMN attested_by TEXT NOT NULL DEFAULT '[]';
ALTER TABLE catalogs ADD COLUMN pins TEXT NOT NULL DEFAULT '[]';
