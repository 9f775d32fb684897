/** The issue tracker: it lists, searches, sorts and pages issues, and changes them, as far as the policy allows. */
import { sql } from "kysely";
import type { Oso } from "oso-cloud";
import { localSql } from "../../../src/client/local-sql.ts";
import type { IssueDatabase } from "./database.ts";

export const sorts = ["newest", "oldest", "title"] as const;
export type Sort = (typeof sorts)[number];

export interface ListOptions {
  /** A part of the title. */
  readonly search?: string;
  readonly sort?: Sort;
  /** The last issue of the page before. */
  readonly after?: ListedIssue;
  readonly size?: number;
}

export interface ListedIssue {
  readonly id: number;
  readonly repository: string | null;
  readonly title: string;
  readonly created_at: number;
}

export class IssueTracker {
  readonly #database: IssueDatabase;
  readonly #oso: Oso;

  constructor(database: IssueDatabase, oso: Oso) {
    this.#database = database;
    this.#oso = oso;
  }

  /** A page of the issues that the user may read. The database filters, searches, sorts and pages in one query. */
  async list(user: string, options: ListOptions = {}): Promise<ListedIssue[]> {
    return (await this.listQuery(user, options)).execute();
  }

  async listQuery(user: string, { search = "", sort = "newest", after, size = 50 }: ListOptions = {}) {
    const readable = await this.#oso.listLocal({ type: "User", id: user }, "read", "Issue", "issues.id");
    const [column, direction] =
      sort === "title" ? (["title", "asc"] as const) : (["created_at", sort === "newest" ? "desc" : "asc"] as const);
    return (
      this.#database
        .selectFrom("issues")
        .select(["issues.id", "issues.title", "issues.created_at"])
        // Only for the rows of the page; a join would also find the names of rows that the conditions leave out.
        .select(({ selectFrom }) =>
          selectFrom("repositories")
            .select("name")
            .whereRef("repositories.id", "=", "issues.repository_id")
            .as("repository"),
        )
        .where(localSql(sql<boolean>, readable))
        .$if(search !== "", (query) => query.where("issues.title", "like", `%${search}%`))
        .$if(after !== undefined, (query) =>
          query.where(({ eb, refTuple, tuple }) =>
            eb(
              refTuple(`issues.${column}`, "issues.id"),
              direction === "asc" ? ">" : "<",
              tuple(after?.[column] ?? "", after?.id ?? 0),
            ),
          ),
        )
        .orderBy(`issues.${column}`, direction)
        .orderBy("issues.id", direction)
        .limit(size)
    );
  }

  /** What the user may do with the issue, sorted. */
  async actions(user: string, issue: number): Promise<string[]> {
    const query = await this.#oso.actionsLocal({ type: "User", id: user }, { type: "Issue", id: String(issue) });
    const { rows } = await localSql(sql<{ actions: string }>, query).execute(this.#database);
    return rows.map(({ actions }) => actions).toSorted();
  }

  /** Deletes the issue. Throws if the user may not close it. */
  async close(user: string, issue: number): Promise<void> {
    const query = await this.#oso.authorizeLocal({ type: "User", id: user }, "close", {
      type: "Issue",
      id: String(issue),
    });
    const { rows } = await localSql(sql<{ allowed: boolean | number }>, query).execute(this.#database);
    if (!rows[0]?.allowed) throw new Error(`${user} may not close the issue ${issue}`);
    await this.#database.deleteFrom("issues").where("id", "=", issue).execute();
  }
}
