/** A backup as a download with progress, and what the command line offers beyond it. */
import { useState } from "preact/hooks";
import { ApiError, silentSinceMs } from "../api/node-api.ts";
import { Refusal } from "../components/failure.tsx";
import { Remote } from "../components/remote.tsx";
import { formatNumber } from "../components/format.ts";
import { saveFile } from "../components/save-file.ts";
import { ScrollTable } from "../components/scroll-table.tsx";
import { useAction } from "../state/action.ts";
import { Time } from "../components/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { routeTo } from "../state/route.ts";
import { call, open } from "../state/session.ts";
import { useStore } from "../store.ts";
import { administrationTexts } from "../texts/administration.ts";
import { formatBytes } from "./bytes.ts";
import { Commands } from "./commands.tsx";
import { BrokenDownloadError, type DownloadProgress, readDownload } from "./download.ts";

const words = administrationTexts.backup;

type State =
  | { readonly is: "nothing" | "waiting" | "cancelled" }
  | ({ readonly is: "receiving" } & DownloadProgress)
  | { readonly is: "done"; readonly name: string; readonly bytes: number };

export function Backup({ hasEnvironments }: { readonly hasEnvironments: boolean }) {
  const [state, setState] = useState<State>({ is: "nothing" });
  const { isRunning, error, run, cancel } = useAction();
  const start = (): void =>
    run(async (signal) => {
      setState({ is: "waiting" });
      const response = await open("/api/backup", { accept: "application/zstd", signal });
      const download = await readDownload(response, "ostiary.backup", (progress) =>
        setState({ is: "receiving", ...progress }),
      );
      saveFile(download.file, download.name);
      setState({ is: "done", name: download.name, bytes: download.received });
    });
  const stop = (): void => {
    cancel();
    setState({ is: "cancelled" });
  };
  const url = nodeUrl();
  return (
    <>
      <p class="help">{words.introduction}</p>
      <div class="buttons">
        {isRunning ? (
          <button type="button" onClick={stop}>
            {words.cancel}
          </button>
        ) : (
          <button type="button" class="primary" onClick={start}>
            {words.download}
          </button>
        )}
      </div>
      {error instanceof BrokenDownloadError || (error !== undefined && state.is === "receiving") ? (
        <p role="alert" class="failure">
          {words.broken}
        </p>
      ) : (
        <Refusal error={error} />
      )}
      {error === undefined && <Progress state={state} />}
      <StoredBackups />
      <p>{words.restore}</p>
      <Commands lines={words.commands(state.is === "done" ? state.name : "monday.backup")} />
      <p>{words.atTheNode}</p>
      <Commands lines={words.scheduled(url)} />
      <section aria-label={words.snapshots}>
        <h2>{words.snapshots}</h2>
        <p>{words.snapshotHelp}</p>
        <Commands lines={words.snapshotCommands(url)} />
        {hasEnvironments && (
          <p>
            {words.copies} <a href={routeTo("administration", ["environments"])}>{words.copiesLink}</a>
          </p>
        )}
      </section>
    </>
  );
}

interface StoredBackup {
  readonly name: string;
  readonly made: string;
  readonly bytes: number;
  readonly earliest: { readonly offset: number };
  readonly newest: { readonly offset: number; readonly time: string };
  readonly authenticity: "verified" | "absent" | "unchecked" | "wrong";
}

interface StoredList {
  readonly backups: readonly StoredBackup[];
  readonly complete: boolean;
}

/** The backups in the configured directory; nothing without one. */
function StoredBackups() {
  const stored = useLoaded("backups", async (signal) => {
    try {
      const answer = await call("/api/backups", { signal });
      return answer as StoredList;
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.status === 404) return undefined;
      throw thrown;
    }
  });
  if (stored.data === undefined && stored.error === undefined) return null;
  return (
    <section aria-label={words.stored}>
      <h2>{words.stored}</h2>
      <Remote of={stored}>{(found) => found && <StoredTable {...found} />}</Remote>
    </section>
  );
}

function StoredTable({ backups, complete }: StoredList) {
  return (
    <>
      {backups.length === 0 && <p>{words.noneStored}</p>}
      {!complete && <p class="help">{words.notAllStored}</p>}
      {backups.length > 0 && (
        <ScrollTable label={words.stored} columns={Object.values(words.storedColumns)}>
          {backups.map(({ name, made, bytes, earliest, newest, authenticity }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                <Time value={made} />
              </td>
              <td>{words.offsets(formatNumber(earliest.offset), formatNumber(newest.offset))}</td>
              <td>
                <Time value={newest.time} />
              </td>
              <td class="nowrap">{formatBytes(bytes)}</td>
              <td class={authenticity === "wrong" ? "failure" : ""}>{words.origins[authenticity]}</td>
            </tr>
          ))}
        </ScrollTable>
      )}
    </>
  );
}

/** Screen readers hear each state, not each part that arrives. */
function Progress({ state }: { readonly state: State }) {
  const isSilent = useStore(silentSinceMs) !== undefined;
  const texts = { nothing: "", waiting: words.waiting, cancelled: words.cancelled, receiving: words.progress };
  const text = state.is === "done" ? words.done(state.name, formatBytes(state.bytes)) : texts[state.is];
  return (
    <>
      <p role="status">{text}</p>
      {state.is === "receiving" && (
        <p>
          <progress
            aria-label={words.progress}
            {...(state.size === undefined ? {} : { max: state.size, value: state.received })}
          />{" "}
          {state.size === undefined
            ? words.receivingUnknown(formatBytes(state.received))
            : words.receiving(formatBytes(state.received), formatBytes(state.size))}
        </p>
      )}
      {isSilent && (state.is === "receiving" || state.is === "waiting") && <p class="failure">{words.stalled}</p>}
    </>
  );
}

/** The address of the node as this browser knows it. */
function nodeUrl(): string {
  return new URL("../", location.href.replace(/#.*/s, "")).href.replace(/\/$/, "");
}
