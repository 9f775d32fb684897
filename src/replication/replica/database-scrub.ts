/** The scrub of a database that nobody writes to, such as the copy of a fallback, which is replaced as a whole. */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { PageChecksums } from "../../store/integrity/page-checksums.ts";
import { PageScrub, scrubTickMs, type ScrubReports } from "../../store/integrity/page-scrub.ts";
import { closeDeletedRawFiles } from "../../store/integrity/raw-files.ts";
import type { Clock } from "../../util/clock.ts";

export interface DatabaseScrub {
  /** The database is that of this connection from now on. */
  open(store: Connection): void;
  /** Reads the damaged pages again. Resolves with the damage that is left. */
  checkDamagedPages(): Promise<string | undefined>;
}

const emptyLog = { committed: 0, checkpointed: 0 };

/** Runs until `started` is disposed of. */
export function scrubDatabase(
  { scrubIntervalMs }: Pick<Limits, "scrubIntervalMs">,
  reports: ScrubReports,
  started: AsyncDisposableStack,
  clock: Clock,
): DatabaseScrub {
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
      closeDeletedRawFiles();
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
