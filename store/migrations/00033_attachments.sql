-- +goose Up
-- The file that goes with a mail, as its text in mail_bodies is kept: the same on
-- every attempt.
CREATE TABLE mail_attachments (
    mail    TEXT NOT NULL PRIMARY KEY,
    name    TEXT NOT NULL,
    type    TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
