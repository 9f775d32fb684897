/** The scrub of a database that nobody writes to, such as the copy of a fallback, which is replaced as a whole. */
import type { Limits } from "../config/limits.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { PageChecksums } from "../store/page-checksums.ts";
import { PageScrub, scrubTickMs, type ScrubReports } from "../store/page-scrub.ts";
import { closeDeleted } from "../store/raw-files.ts";
import type { Clock } from "../util/clock.ts";

export interface WatchedPages {
  /** The database is that of this connection from now on. */
  open(store: SqlDatabase): void;
  /** Reads the damaged pages again. Resolves with the damage that is left. */
  checkDamagedPages(): Promise<string | undefined>;
}

const emptyLog = { committed: 0, moved: 0 };

/** Runs until `started` is disposed of. */
export function watchPages(
  { scrubIntervalMs }: Pick<Limits, "scrubIntervalMs">,
  reports: ScrubReports,
  started: AsyncDisposableStack,
  clock: Clock,
): WatchedPages {
  let opened: { readonly pages: PageChecksums; readonly scrub: PageScrub } | undefined;
  const close = (): void => {
    opened?.scrub.stop();
    opened?.pages.close();
    opened = undefined;
  };
  started.defer(close);
  started.defer(
    clock.every(scrubTickMs, () => {
      opened?.scrub.tick();
      // The database that this one has replaced.
      closeDeleted();
    }),
  );
  return {
    open(store) {
      close();
      const pageBytes = Number(store.prepare("PRAGMA page_size").values()[0]?.[0]);
      const pages = new PageChecksums(store.path, pageBytes, () => emptyLog);
      opened = { pages, scrub: new PageScrub(pages, scrubIntervalMs, reports) };
    },
    checkDamagedPages: async () => opened?.pages.checkDamaged(),
  };
}
