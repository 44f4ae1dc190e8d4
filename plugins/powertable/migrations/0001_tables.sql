-- Which tables there are, as their users defined them. A change says which revision it is made of, and is refused if there is a
-- newer one.
CREATE TABLE p_powertable__tables (
    name TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    made_of BIGINT NOT NULL,
    definition TEXT NOT NULL,
    CHECK (revision = made_of + 1)
);
