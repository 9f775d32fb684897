/** The environments of the appliance: create, copy, rename, delete, restore. */
import { useRef, useState } from "preact/hooks";
import type { Environment } from "../api/responses.ts";
import { ConfirmDialog } from "../components/confirm-dialog.tsx";
import { Refusal } from "../components/failure.tsx";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { useAction } from "../state/action.ts";
import { useLoaded } from "../state/loaded.ts";
import { call, logIn } from "../state/session.ts";
import { texts } from "../texts.ts";
import { administrationTexts } from "../texts/administration.ts";
import { Secret } from "./secret.tsx";

const words = administrationTexts.environments;
/** A copy of many facts takes its time. */
const createTimeoutMs = 600_000;

interface NewEnvironment {
  readonly id: string;
  readonly token: string;
}

type Asked = { readonly to: "rename" | "delete" | "restore"; readonly environment: Environment } | undefined;

export function Environments() {
  const listed = useLoaded("environments", async (signal) => {
    const answer = await call("/api/environments", { signal });
    return (answer as { readonly environments: readonly Environment[] }).environments;
  });
  const [made, setMade] = useState<NewEnvironment | undefined>(undefined);
  const [asked, setAsked] = useState<Asked>(undefined);
  const created = (environment: NewEnvironment): void => {
    setMade(environment);
    listed.reload();
  };
  return (
    <>
      <p class="help">{words.introduction}</p>
      {made !== undefined && (
        <>
          <Secret title={words.created(made.id)} token={made.token} onDone={() => setMade(undefined)} />
          <p>
            <button type="button" onClick={() => void logIn({ token: made.token })}>
              {words.open(made.id)}
            </button>
          </p>
        </>
      )}
      <Remote of={listed}>
        {(environments) => (
          <ScrollTable label={words.table} columns={[...Object.values(words.columns), administrationTexts.actions]}>
            {environments.map((environment) => (
              <Row key={environment.id} environment={environment} onAsk={setAsked} />
            ))}
          </ScrollTable>
        )}
      </Remote>
      <p>
        <button type="button" onClick={listed.reload}>
          {administrationTexts.reload}
        </button>
      </p>
      <CreateEnvironment environments={listed.data ?? []} onCreated={created} />
      {asked !== undefined && <AskedDialog asked={asked} onDone={listed.reload} onClose={() => setAsked(undefined)} />}
    </>
  );
}

function Row(props: { readonly environment: Environment; readonly onAsk: (asked: Asked) => void }) {
  const { environment, onAsk } = props;
  const { id, name, created, state, is_default: isDefault, final, failure } = environment;
  return (
    <tr>
      <th scope="row">
        {id}
        {isDefault && <span class="note"> {words.isDefault}</span>}
      </th>
      <td>{name}</td>
      <td>
        {state !== "deleted" ? (
          failure === undefined ? (
            words.active
          ) : (
            words.failing(failure)
          )
        ) : (
          <>
            {words.deleted} <Time value={final ?? ""} />
          </>
        )}
      </td>
      <td>{created === null ? texts.noValue : <Time value={created} />}</td>
      <td class="nowrap">
        {isDefault !== true && state === "active" && (
          <>
            <button type="button" aria-label={words.renameOf(id)} onClick={() => onAsk({ to: "rename", environment })}>
              {words.rename}
            </button>{" "}
            <button
              type="button"
              class="danger"
              aria-label={words.deleteOf(id)}
              onClick={() => onAsk({ to: "delete", environment })}
            >
              {words.delete}
            </button>
          </>
        )}
        {state === "deleted" && (
          <button type="button" aria-label={words.restoreOf(id)} onClick={() => onAsk({ to: "restore", environment })}>
            {words.restore}
          </button>
        )}
      </td>
    </tr>
  );
}

interface AskedProps {
  readonly asked: NonNullable<Asked>;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

function AskedDialog({ asked: { to, environment }, onDone, onClose }: AskedProps) {
  const { id, name } = environment;
  const path = `/api/environments/${encodeURIComponent(id)}`;
  const common = { onClose };
  const send = async (suffix: string, method: string, body: object | undefined, signal: AbortSignal): Promise<void> => {
    await call(path + suffix, { method, ...(body !== undefined && { body }), signal });
    onDone();
  };
  switch (to) {
    case "rename":
      return (
        <ConfirmDialog
          {...common}
          title={words.renameOf(id)}
          confirm={words.rename}
          onConfirm={(fields, signal) => send("", "PATCH", { name: textIn(fields, "name") }, signal)}
        >
          <label for="environment-new-name">{words.fields.name}</label>
          <input
            id="environment-new-name"
            name="name"
            required
            maxLength={100}
            defaultValue={name}
            autocomplete="off"
          />
        </ConfirmDialog>
      );
    case "delete":
      return (
        <ConfirmDialog
          {...common}
          title={words.deleteOf(id)}
          confirm={words.delete}
          isDestructive
          typed={id}
          onConfirm={(_, signal) => send("", "DELETE", undefined, signal)}
        >
          <p>{words.deleteHelp}</p>
        </ConfirmDialog>
      );
    default:
      return (
        <ConfirmDialog
          {...common}
          title={words.restoreOf(id)}
          confirm={words.restore}
          onConfirm={(_, signal) => send("/restore", "POST", {}, signal)}
        >
          <p>{words.restoreHelp}</p>
        </ConfirmDialog>
      );
  }
}

interface CreateProps {
  readonly environments: readonly Environment[];
  readonly onCreated: (made: NewEnvironment) => void;
}

function CreateEnvironment({ environments, onCreated }: CreateProps) {
  const form = useRef<HTMLFormElement>(null);
  const { isRunning, error, run } = useAction();
  const submit = (event: Event): void => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    const [name, copyOf] = [textIn(fields, "name"), textIn(fields, "copy_of")];
    const body = { id: textIn(fields, "id"), ...(name !== "" && { name }), ...(copyOf !== "" && { copy_of: copyOf }) };
    run(async (signal) => {
      const options = { method: "POST", body, signal, timeoutMs: createTimeoutMs };
      onCreated((await call("/api/environments", options)) as NewEnvironment);
      form.current?.reset();
    });
  };
  return (
    <section aria-label={words.create}>
      <h2>{words.create}</h2>
      <form ref={form} class="form" onSubmit={submit}>
        <label for="environment-id">{words.fields.id}</label>
        <input
          id="environment-id"
          name="id"
          required
          maxLength={32}
          autocomplete="off"
          spellcheck={false}
          aria-describedby="environment-id-help"
        />
        <p id="environment-id-help" class="help">
          {words.idHelp}
        </p>
        <label for="environment-name">{words.fields.name}</label>
        <input id="environment-name" name="name" maxLength={100} autocomplete="off" />
        <label for="environment-copy">{words.fields.copyOf}</label>
        <select id="environment-copy" name="copy_of">
          <option value="">{words.empty}</option>
          {environments
            .filter(({ state }) => state === "active")
            .map(({ id }) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
        </select>
        <Refusal error={error} />
        {isRunning && <p role="status">{words.creating}</p>}
        <div class="buttons">
          <button type="submit" class="primary" disabled={isRunning}>
            {words.create}
          </button>
        </div>
      </form>
    </section>
  );
}

function textIn(fields: FormData, name: string): string {
  const value = fields.get(name);
  return typeof value === "string" ? value.trim() : "";
}
