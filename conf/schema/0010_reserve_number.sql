-- Keeps the place of the migration that is being written beside this one; it goes when that one comes.
SELECT 1;
