-- Sessions say since when and on which device they are, and failures how long they are counted together. Rows from before that
-- do not: everyone signs in once more.
DELETE FROM identity WHERE kind IN ('session', 'refresh_token', 'failures');
