-- Taken by another change; its file replaces this one.
SELECT 1;
