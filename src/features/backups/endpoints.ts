/** Backups. */
import { z } from "zod";
import { endpoints, json } from "../../http/endpoint.ts";

export const backupEndpoints = endpoints({
  getBackup: {
    method: "GET",
    path: "/api/backup",
    tag: "operation",
    audit: "backup.download",
    summary: "A backup of this node, with the log",
    description:
      "With `environment` a backup of another environment, or with `environments-` of the list of environments. That needs a key of the default environment.",
    query: () => z.strictObject({ environment: z.string().optional() }),
    kind: "read",
    role: "admin",
    responses: () => ({ 200: { description: "The backup", content: { "application/zstd": z.string() } } }),
    errors: ["too_many_requests", "not_found"],
  },
  getBackups: {
    method: "GET",
    path: "/api/backups",
    tag: "operation",
    summary: "The backups of this environment in the configured directory, newest first",
    description:
      "Only their headers are read. Without the setting `backupDirectory` the answer is 404. With `all=true` the backups of all environments, which needs a key of the default environment.",
    query: () => z.strictObject({ all: z.enum(["true", "false"]).optional() }),
    kind: "node",
    role: "admin",
    responses: () => ({ 200: json("The backups", backupsSchema) }),
    errors: ["not_found", "conflict"],
  },
});

const moment = z.strictObject({ offset: z.int(), time: z.iso.datetime() });

const backupsSchema = z
  .strictObject({
    backups: z.array(
      z
        .strictObject({
          name: z.string().meta({ description: "The name of the file, or its path in the directory" }),
          environment: z.string(),
          made: z.iso.datetime(),
          bytes: z.int(),
          epoch: z.string(),
          earliest: moment.meta({ description: "The first moment that it can be restored to" }),
          newest: moment,
          authenticity: z
            .enum(["verified", "absent", "unchecked", "wrong"])
            .meta({ description: "Whether its message authentication code is right, missing, not checked, or wrong" }),
          node_key: z.string().optional().meta({ description: "The id of the node key that its code needs" }),
        })
        .meta({ id: "StoredBackup" }),
    ),
    complete: z.boolean().meta({ description: "Whether all files of the directory were examined" }),
  })
  .meta({ id: "StoredBackups" });
