SET LOCAL ROLE ingot_owner;
DROP FUNCTION ingot.insert_alike(bytea[], int, int, int, int, int, bytea);
RESET ROLE;
