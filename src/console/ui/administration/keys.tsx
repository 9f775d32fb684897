/** The API keys of the environment: create, rotate, revoke. */
import { useRef, useState } from "preact/hooks";
import type { Role } from "../api/responses.ts";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Refusal } from "../components/failure.tsx";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { timeOfField } from "../components/times.ts";
import { useAction } from "../state/action.ts";
import { useLoaded } from "../state/loaded.ts";
import { call, shownLogin } from "../state/session.ts";
import { texts } from "../texts.ts";
import { administrationTexts } from "../texts/administration.ts";
import { keyRequestOf } from "./key-request.ts";
import { Secret } from "./secret.tsx";

const words = administrationTexts.keys;

interface Key {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly created: string;
  readonly last_used: string | null;
  readonly expires?: string;
  readonly expired?: true;
  readonly replaced_expires?: string;
  readonly only_predicates?: readonly string[];
  readonly only_types?: readonly string[];
}

interface NewSecret {
  readonly name: string;
  readonly token: string;
}

type Asked = { readonly to: "rotate" | "revoke"; readonly key: Key } | undefined;

export function Keys() {
  const who = shownLogin()?.who;
  const keys = useLoaded("keys", async (signal) => {
    const answer = await call("/api/keys", { signal });
    return (answer as { readonly keys: readonly Key[] }).keys;
  });
  const [secret, setSecret] = useState<NewSecret | undefined>(undefined);
  const [asked, setAsked] = useState<Asked>(undefined);
  const show = (made: NewSecret): void => {
    setSecret(made);
    keys.reload();
  };
  const isOwn = who?.kind === "key" && who.id === asked?.key.id;
  return (
    <>
      <p class="help">{words.introduction(who?.environment ?? "")}</p>
      {secret !== undefined && (
        <Secret
          title={administrationTexts.secret.title(secret.name)}
          token={secret.token}
          onDone={() => setSecret(undefined)}
        />
      )}
      <Remote of={keys}>
        {(rows) => (
          <ScrollTable label={words.table} columns={[...Object.values(words.columns), administrationTexts.actions]}>
            {rows.map((key) => (
              <KeyRow key={key.id} row={key} isOwn={who?.kind === "key" && who.id === key.id} onAsk={setAsked} />
            ))}
          </ScrollTable>
        )}
      </Remote>
      <p>
        <button type="button" onClick={keys.reload}>
          {administrationTexts.reload}
        </button>
      </p>
      <CreateKey onCreated={show} />
      {asked?.to === "rotate" && (
        <RotateKey row={asked.key} isOwn={isOwn} onRotated={show} onClose={() => setAsked(undefined)} />
      )}
      {asked?.to === "revoke" && (
        <ConfirmDialog
          title={words.revokeOf(asked.key.name)}
          confirm={words.revoke}
          isDestructive
          onClose={() => setAsked(undefined)}
          onConfirm={async (_, signal) => {
            await call(`/api/keys/${encodeURIComponent(asked.key.id)}`, { method: "DELETE", signal });
            keys.reload();
          }}
        >
          <p>{words.revokeHelp}</p>
          {isOwn && <p class="failure">{words.revokeOwn}</p>}
        </ConfirmDialog>
      )}
    </>
  );
}

function KeyRow(props: { readonly row: Key; readonly isOwn: boolean; readonly onAsk: (asked: Asked) => void }) {
  const { row: key, isOwn, onAsk } = props;
  const { id, name, role, created, last_used: used, expires, expired, replaced_expires: replaced } = key;
  const { only_predicates: predicates, only_types: types } = key;
  const limits = [
    ...(predicates === undefined ? [] : [words.onlyPredicates(predicates.join(", "))]),
    ...(types === undefined ? [] : [words.onlyTypes(types.join(", "))]),
  ];
  return (
    <tr>
      <th scope="row">
        {name}
        {isOwn && <span class="note"> {words.you}</span>}
      </th>
      <td>
        <code>{id}</code>
      </td>
      <td>{role}</td>
      <td>{limits.join("; ") || words.noLimits}</td>
      <td>
        {expires === undefined ? (
          administrationTexts.never
        ) : (
          <>
            {expired && `${words.expired} `}
            <Time value={expires} />
          </>
        )}
        {replaced !== undefined && (
          <span class="note">
            {" "}
            {words.replaced} <Time value={replaced} />
          </span>
        )}
      </td>
      <td>{used === null || used === undefined ? texts.noValue : <Time value={used} as="relative" />}</td>
      <td>
        <Time value={created} />
      </td>
      <td class="nowrap">
        <button type="button" aria-label={words.rotateOf(name)} onClick={() => onAsk({ to: "rotate", key })}>
          {words.rotate}
        </button>{" "}
        <button
          type="button"
          class="danger"
          aria-label={words.revokeOf(name)}
          onClick={() => onAsk({ to: "revoke", key })}
        >
          {words.revoke}
        </button>
      </td>
    </tr>
  );
}

function CreateKey({ onCreated }: { readonly onCreated: (made: NewSecret) => void }) {
  const form = useRef<HTMLFormElement>(null);
  const [role, setRole] = useState<Role>("read");
  const { isRunning, error, run } = useAction();
  const submit = (event: Event): void => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    run(async (signal) => {
      const body = keyRequestOf({
        ...{ name: textIn(fields, "name"), role, expires: expiryIn(fields) },
        ...{ predicates: textIn(fields, "predicates"), types: textIn(fields, "types") },
      });
      onCreated((await call("/api/keys", { method: "POST", body, signal })) as NewSecret);
      form.current?.reset();
      setRole("read");
    });
  };
  return (
    <section aria-label={words.create}>
      <h2>{words.create}</h2>
      <form ref={form} class="form" onSubmit={submit}>
        <label for="key-name">{words.fields.name}</label>
        <input id="key-name" name="name" required maxLength={100} autocomplete="off" spellcheck={false} />
        <label for="key-role">{words.fields.role}</label>
        <select id="key-role" value={role} onChange={({ currentTarget }) => setRole(currentTarget.value as Role)}>
          {Object.entries(words.roles).map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
        <ExpiryFields id="key" label={words.fields.expires} without={words.expiries[""]} />
        {role === "write" && (
          <>
            <label for="key-predicates">{words.fields.predicates}</label>
            <input
              id="key-predicates"
              name="predicates"
              autocomplete="off"
              spellcheck={false}
              placeholder={words.predicatesExample}
            />
            <label for="key-types">{words.fields.types}</label>
            <input
              id="key-types"
              name="types"
              autocomplete="off"
              spellcheck={false}
              placeholder={words.typesExample}
              aria-describedby="key-types-help"
            />
            <p id="key-types-help" class="help">
              {words.restrictionHelp}
            </p>
          </>
        )}
        <Refusal error={error} />
        <div class="buttons">
          <button type="submit" class="primary" disabled={isRunning}>
            {words.create}
          </button>
        </div>
      </form>
    </section>
  );
}

/** A duration, or a time. */
function ExpiryFields(props: { readonly id: string; readonly label: string; readonly without: string }) {
  const { id, label, without } = props;
  const [isTime, setIsTime] = useState(false);
  return (
    <>
      <label for={`${id}-expires`}>{label}</label>
      <select
        id={`${id}-expires`}
        name="expires"
        onChange={({ currentTarget }) => setIsTime(currentTarget.value === "at")}
      >
        {Object.entries(words.expiries).map(([value, text]) => (
          <option key={value} value={value}>
            {value === "" ? without : text}
          </option>
        ))}
      </select>
      {isTime && (
        <>
          <label for={`${id}-expires-at`}>{words.fields.expiresAt}</label>
          <input id={`${id}-expires-at`} name="expires-at" type="datetime-local" required />
        </>
      )}
    </>
  );
}

/** Throws if a time is wanted and missing. */
function expiryIn(fields: FormData): string {
  const choice = textIn(fields, "expires");
  if (choice !== "at") return choice;
  const time = timeOfField(textIn(fields, "expires-at"));
  if (time === "") throw new Error(words.needsTime);
  return time;
}

function textIn(fields: FormData, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" ? value : "";
}

interface RotateProps {
  readonly row: Key;
  readonly isOwn: boolean;
  readonly onRotated: (made: NewSecret) => void;
  readonly onClose: () => void;
}

function RotateKey({ row: { id, name }, isOwn, onRotated, onClose }: RotateProps) {
  return (
    <ConfirmDialog
      title={words.rotateOf(name)}
      confirm={words.rotate}
      onClose={onClose}
      onConfirm={async (fields, signal) => {
        const expires = expiryIn(fields);
        const body = { grace: textIn(fields, "grace"), ...(expires !== "" && { expires }) };
        const path = `/api/keys/${encodeURIComponent(id)}/rotate`;
        onRotated((await call(path, { method: "POST", body, signal })) as NewSecret);
      }}
    >
      <p>{words.rotateHelp}</p>
      {isOwn && <p class="failure">{words.rotateOwn}</p>}
      <label for="rotate-grace">{words.grace}</label>
      <select id="rotate-grace" name="grace">
        {graces.map((value) => (
          <option key={value} value={value} selected={value === graceDefault}>
            {words.graces[value]}
          </option>
        ))}
      </select>
      <ExpiryFields id="rotate" label={words.newExpiry} without={words.expiryAsBefore} />
    </ConfirmDialog>
  );
}

const graces = ["0", "1h", "24h", "7d", "90d"] as const;
const graceDefault = "24h";
