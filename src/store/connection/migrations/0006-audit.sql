CREATE TABLE `audit` (
	`seq` integer PRIMARY KEY NOT NULL,
	`id` text NOT NULL,
	`time_ms` integer NOT NULL,
	`actor_id` text,
	`actor_name` text,
	`action` text NOT NULL,
	`result` text NOT NULL,
	`offset` integer,
	`received` integer NOT NULL,
	`entry` text NOT NULL
) STRICT;
CREATE UNIQUE INDEX `audit_id_unique` ON `audit` (`id`);
CREATE INDEX `audit_time` ON `audit` (`time_ms`,`id`);
CREATE INDEX `audit_offset` ON `audit` (`offset`);
CREATE INDEX `audit_result` ON `audit` (`result`);
