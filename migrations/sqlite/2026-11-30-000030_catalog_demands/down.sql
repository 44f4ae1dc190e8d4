ALTER TABLE catalogs DROP COLUMN pins;
ALTER TABLE catalogs DROP COLUMN attested_by;
