/** The promotion of this node: what it would do now, and the promotion itself after a typed confirmation. */
import { useState } from "preact/hooks";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { formatNumber } from "../components/format.ts";
import { Properties } from "../components/properties.tsx";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { useLoaded } from "../state/loaded.ts";
import { call } from "../state/session.ts";
import { texts } from "../texts.ts";
import { administrationTexts } from "../texts/administration.ts";

const words = administrationTexts.promotion;
const modes = ["graceful", "plain", "force"] as const;
type Mode = (typeof modes)[number];
/** Each environment can wait for its lease. */
const promoteTimeoutMs = 300_000;

/** The other nodes change meanwhile. */
const freshMsMax = 60_000;

interface Outcome {
  readonly possible: boolean;
  readonly reasons: readonly string[];
  readonly warnings: readonly string[];
  readonly missing_events: number;
  readonly lost_events: number | null;
}

interface Preview extends Outcome {
  readonly node: string;
  readonly role: string;
  readonly offset: number | null;
  readonly primary: { readonly url: string; readonly answers: boolean } | null;
  readonly nodes: readonly {
    readonly url: string;
    readonly node: string | null;
    readonly role: string | null;
    readonly offset: number | null;
  }[];
  readonly environments: readonly (Outcome & { readonly id: string })[];
}

interface Promoted {
  readonly offset: number;
  readonly failed_environments?: readonly { readonly id: string; readonly reason: string }[];
}

export function Promotion() {
  const [mode, setMode] = useState<Mode>("graceful");
  const [isAsking, setIsAsking] = useState(false);
  const [promoted, setPromoted] = useState<Promoted | undefined>(undefined);
  const flags = mode === "plain" ? {} : { [mode]: true };
  const query = new URLSearchParams(Object.keys(flags).map((name) => [name, "true"]));
  const preview = useLoaded(mode, (signal) => call(`/api/promote?${query}`, { signal }) as Promise<Preview>);
  const { data } = preview;
  return (
    <>
      <p class="help">{words.introduction}</p>
      <fieldset>
        <legend>{words.how}</legend>
        {modes.map((each) => (
          <div key={each}>
            <label>
              <input type="radio" name="mode" checked={each === mode} onChange={() => setMode(each)} />{" "}
              {words.modes[each]}
            </label>
            <p class="help">{words.modeHelp[each]}</p>
          </div>
        ))}
      </fieldset>
      <p>
        <button type="button" disabled={preview.isLoading} onClick={preview.reload}>
          {words.check}
        </button>
      </p>
      {promoted !== undefined && (
        <div role="status">
          <p class="good">{words.promoted(formatNumber(promoted.offset))}</p>
          {(promoted.failed_environments ?? []).map(({ id, reason }) => (
            <p key={id} class="failure">
              {words.failed(id, reason)}
            </p>
          ))}
        </div>
      )}
      <p role="status">{preview.isLoading && preview.error === undefined && words.checking}</p>
      <Remote of={preview} freshMsMax={freshMsMax}>
        {(outcome) => (
          <>
            <Verdict outcome={outcome} />
            {outcome.possible && (
              <button type="button" class="primary" onClick={() => setIsAsking(true)}>
                {words.promote(outcome.node)}
              </button>
            )}
            <PreviewFacts preview={outcome} />
          </>
        )}
      </Remote>
      {isAsking && data !== undefined && (
        <ConfirmDialog
          title={words.promoteTitle(data.node)}
          confirm={words.promoteConfirm}
          typed={data.node}
          onClose={() => setIsAsking(false)}
          onConfirm={async () => {
            // A promotion that has begun is not given up because the dialog closes.
            const options = { method: "POST", body: flags, timeoutMs: promoteTimeoutMs };
            setPromoted((await call("/api/promote", options)) as Promoted);
            preview.reload();
          }}
        >
          <p>{words.modeHelp[mode]}</p>
          <Verdict outcome={data} />
          <p class="help">{words.promoteHelp}</p>
        </ConfirmDialog>
      )}
    </>
  );
}

function Verdict({ outcome: { possible, reasons, warnings } }: { readonly outcome: Outcome }) {
  return (
    <>
      <p class={possible ? "good" : "failure"}>{possible ? words.possible : words.impossible}</p>
      <List lines={reasons} />
      {warnings.length > 0 && <p>{words.warnings}</p>}
      <List lines={warnings} />
    </>
  );
}

function List({ lines }: { readonly lines: readonly string[] }) {
  if (lines.length === 0) return null;
  return (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}

function PreviewFacts({ preview }: { readonly preview: Preview }) {
  const { node, role, offset, primary, nodes, environments, missing_events: missing, lost_events: lost } = preview;
  const { facts } = words;
  const rows = [
    [facts.node, `${node} (${role})`],
    [facts.position, offset === null ? texts.noValue : facts.positionOf(formatNumber(offset))],
    ...(primary === null
      ? []
      : [
          [facts.primary, (primary.answers ? facts.answers : facts.silent)(primary.url)] as const,
          [facts.missing, formatNumber(missing)] as const,
          [facts.lost, lostText(lost)] as const,
        ]),
  ] as const;
  return (
    <>
      <Properties of={rows} />
      {nodes.length > 0 && (
        <section aria-label={words.nodes}>
          <h2>{words.nodes}</h2>
          <ScrollTable label={words.nodes} columns={Object.values(words.nodeColumns)}>
            {nodes.map((each) => (
              <tr key={each.url}>
                <th scope="row">{each.node ?? words.noAnswer(each.url)}</th>
                <td>{each.role ?? texts.noValue}</td>
                <td>{each.offset === null ? texts.noValue : formatNumber(each.offset)}</td>
              </tr>
            ))}
          </ScrollTable>
        </section>
      )}
      {environments.length > 0 && (
        <section aria-label={words.environments}>
          <h2>{words.environments}</h2>
          <ScrollTable label={words.environments} columns={Object.values(words.environmentColumns)}>
            {environments.map((each) => (
              <tr key={each.id}>
                <th scope="row">{each.id}</th>
                <td>{[...each.reasons, ...each.warnings].join(" ") || words.environmentPossible}</td>
                <td>{formatNumber(each.missing_events)}</td>
                <td>{lostText(each.lost_events)}</td>
              </tr>
            ))}
          </ScrollTable>
        </section>
      )}
    </>
  );
}

function lostText(lost: number | null): string {
  return lost === null ? words.facts.notKnown : formatNumber(lost);
}
