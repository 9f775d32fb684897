/** The versions of the policy, the text of one, and the differences of two; for those who may write, the way back. */
import { useState } from "preact/hooks";
import { formatNumber } from "../components/format.ts";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { useLoaded } from "../state/loaded.ts";
import { type Pages, usePages } from "../state/pages.ts";
import { routeTo } from "../state/route.ts";
import type { Login } from "../state/session.ts";
import { texts } from "../texts.ts";
import { policyTexts } from "../texts/policy.ts";
import { CodeEditor } from "./code-editor.tsx";
import { defaultName } from "./files.ts";
import { LazyDiff } from "./lazy-diff.tsx";
import { useMayWrite } from "./policy-access.ts";
import type { PolicyVersion } from "./reports.ts";
import { SaveDialog } from "./save-dialog.tsx";
import { readActive, readVersion, readVersions, type VersionPage as Page } from "./versions.ts";

const words = policyTexts.versions;

export function HistoryPage({ login }: { readonly login: Login }) {
  const found = usePages<Page>(
    `${login.who.environment} ${login.who.id}`,
    (before, signal) => readVersions(before?.next_page_token, signal),
    ({ next_page_token: token }) => token !== undefined,
  );
  return (
    <Remote of={found}>
      {(pages) => <Versions versions={pages.flatMap((page) => page.versions)} found={found} />}
    </Remote>
  );
}

interface VersionsProps {
  readonly versions: readonly PolicyVersion[];
  readonly found: Pages<Page>;
}

function Versions({ versions, found }: VersionsProps) {
  const [chosen, setChosen] = useState<{ readonly from?: number; readonly to?: number }>({});
  if (versions.length === 0) return <p>{words.none}</p>;
  const to = chosen.to ?? versions[0]?.id ?? 0;
  const from = chosen.from ?? versions[1]?.id ?? to;
  const { columns } = words;
  return (
    <>
      <div class="versions">
        <ScrollTable
          label={words.title}
          columns={[
            ...[columns.from, columns.to, columns.id, columns.time],
            ...[columns.author, columns.message, columns.file, columns.size],
          ]}
        >
          {versions.map((version) => (
            <VersionRow
              key={version.id}
              version={version}
              isFrom={version.id === from}
              isTo={version.id === to}
              onFrom={() => setChosen({ ...chosen, from: version.id })}
              onTo={() => setChosen({ ...chosen, to: version.id })}
            />
          ))}
        </ScrollTable>
      </div>
      <p class="buttons">
        {from !== to && <a href={routeTo("policy", ["diff", String(from), String(to)])}>{words.compare}</a>}
        {found.hasMore && (
          <button type="button" disabled={found.isLoading} onClick={found.more}>
            {words.older}
          </button>
        )}
      </p>
    </>
  );
}

interface VersionRowProps {
  readonly version: PolicyVersion;
  readonly isFrom: boolean;
  readonly isTo: boolean;
  readonly onFrom: () => void;
  readonly onTo: () => void;
}

function VersionRow({ version, isFrom, isTo, onFrom, onTo }: VersionRowProps) {
  const { id, active, filename, time, author, message, bytes } = version;
  return (
    <tr>
      <td>
        <input type="radio" name="from" aria-label={words.from(id)} checked={isFrom} onChange={onFrom} />
      </td>
      <td>
        <input type="radio" name="to" aria-label={words.to(id)} checked={isTo} onChange={onTo} />
      </td>
      <td>
        <a href={routeTo("policy", ["version", String(id)])} aria-label={words.showVersion(id)}>
          {id}
        </a>{" "}
        {active && <strong>{words.active}</strong>}
      </td>
      <td>
        <Time value={time} />
      </td>
      <td>{author === null ? words.node : (author.name ?? author.id)}</td>
      <td>{message ?? ""}</td>
      <td>{filename || texts.noValue}</td>
      <td>{words.bytes(formatNumber(bytes))}</td>
    </tr>
  );
}

export function VersionPage({ login, id }: { readonly login: Login; readonly id: number }) {
  const mayWrite = useMayWrite(login);
  const [isOpen, setIsOpen] = useState(false);
  const [notice, setNotice] = useState("");
  const loaded = useLoaded(`${login.who.environment} ${id}`, async (signal) => ({
    policy: await readVersion(id, signal),
    active: await readActive(signal),
  }));
  if (loaded.data === undefined) return <Remote of={loaded}>{() => null}</Remote>;
  const { policy, active } = loaded.data;
  if (policy === null) return <p>{words.missing(id)}</p>;
  return (
    <section aria-label={words.version(id)}>
      <h2>{words.version(id)}</h2>
      <p>
        <a href={routeTo("policy", ["history"])}>{words.allVersions}</a>
      </p>
      <CodeEditor key={id} name={policy.filename || defaultName} text={policy.src} isReadOnly />
      {mayWrite && active?.version.id !== id && (
        <button type="button" onClick={() => setIsOpen(true)}>
          {words.back}
        </button>
      )}
      <p role="status">{notice}</p>
      {isOpen && (
        <SaveDialog
          title={policyTexts.rollback.title(id)}
          help={policyTexts.rollback.help}
          reasonLabel={policyTexts.rollback.reason}
          checked={{ src: policy.src, ...(policy.filename && { filename: policy.filename }) }}
          source={policy.src}
          base={active?.policy}
          request={{ path: "/api/policy_rollback", body: { id } }}
          onSaved={(message) => {
            setIsOpen(false);
            setNotice(message);
            loaded.reload();
          }}
          onTakeTheirs={() => loaded.reload()}
          onClose={() => setIsOpen(false)}
        />
      )}
    </section>
  );
}

export function DiffPage({ from, to }: { readonly from: number; readonly to: number }) {
  const loaded = useLoaded(`${from} ${to}`, (signal) =>
    Promise.all([readVersion(from, signal), readVersion(to, signal)]),
  );
  // A version never changes.
  if (loaded.data === undefined) return <Remote of={loaded}>{() => null}</Remote>;
  const [old, next] = loaded.data;
  if (old === null || next === null) return <p>{words.missing(old === null ? from : to)}</p>;
  return (
    <section aria-label={words.compared(from, to)}>
      <h2>{words.compared(from, to)}</h2>
      <p>
        <a href={routeTo("policy", ["history"])}>{words.allVersions}</a>
      </p>
      {old.src === next.src ? (
        <p>{words.same}</p>
      ) : (
        <LazyDiff label={words.differences(from, to)} from={old.src} to={next.src} />
      )}
    </section>
  );
}
