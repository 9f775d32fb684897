/** The list of the issue tracker as an expert writes it by hand, without a node: for comparisons. */
import { sql } from "kysely";
import type { IssueDatabase } from "../example/issues/database.ts";

/** The newest 50 issues that a user may read who is neither banned nor in support. */
export function handwrittenList(database: IssueDatabase, user: string) {
  return sql<{ id: number; title: string; created_at: number; repository: string }>`
    SELECT i.id, i.title, i.created_at, r.name AS repository
    FROM issues i JOIN repositories r ON r.id = i.repository_id
    WHERE r.is_public
      OR EXISTS (
        SELECT 1 FROM repository_members m
        WHERE m.user_id = ${user} AND m.repository_id = r.id AND m.role IN ('reader', 'maintainer'))
      OR EXISTS (
        SELECT 1 FROM organization_members o
        WHERE o.user_id = ${user} AND o.organization_id = r.organization_id AND o.role IN ('member', 'owner'))
    ORDER BY i.created_at DESC, i.id DESC
    LIMIT 50`.compile(database);
}
