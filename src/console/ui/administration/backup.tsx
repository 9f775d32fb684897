/** A backup as a download with progress, and what the command line offers beyond it. */
import { useState } from "preact/hooks";
import { Failure } from "../components/failure.tsx";
import { saveFile } from "../components/save-file.ts";
import { useAction } from "../state/action.ts";
import { routeTo } from "../state/route.ts";
import { open } from "../state/session.ts";
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
        <Failure error={error} />
      )}
      {error === undefined && <Progress state={state} />}
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

/** Screen readers hear each state, not each part that arrives. */
function Progress({ state }: { readonly state: State }) {
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
    </>
  );
}

/** The address of the node as this browser knows it. */
function nodeUrl(): string {
  return new URL("../", location.href.replace(/#.*/s, "")).href.replace(/\/$/, "");
}
