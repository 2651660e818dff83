DROP TABLE published;
DROP TABLE messages;
DROP SEQUENCE message_ids;
