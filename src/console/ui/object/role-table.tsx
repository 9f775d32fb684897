/** Who has which role on an object, by stored facts and by rules. Nothing for a type without roles. */
import { useEffect, useState } from "preact/hooks";
import { Failure } from "../components/failure.tsx";
import { formatNumber } from "../components/format.ts";
import type { Value } from "../facts/fact-text.ts";
import { objectRoute } from "../facts/fact-view.tsx";
import { texts } from "../texts.ts";
import { objectTexts } from "../texts/object.ts";
import type { RoleHolder } from "./role-holders.ts";
import { queryRoles } from "./roles.ts";

const words = objectTexts.roles;
const shownFirst = 100;

export function RoleTable({ value }: { readonly value: Value }) {
  const [holders, setHolders] = useState<readonly RoleHolder[] | undefined>(undefined);
  const [hasRoles, setHasRoles] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const [shown, setShown] = useState(shownFirst);
  useEffect(() => {
    const controller = new AbortController();
    queryRoles(value, controller.signal, () => setHasRoles(true)).then(
      (found) => setHolders(found),
      (thrown: unknown) => !controller.signal.aborted && setError(thrown),
    );
    return () => controller.abort();
  }, []);
  if (!hasRoles) return null;
  return (
    <section aria-label={words.title}>
      <h2>{words.title}</h2>
      <p class="help">{words.help}</p>
      <Failure error={error} />
      {holders === undefined ? (
        error === undefined && <p role="status">{texts.loading}</p>
      ) : holders.length === 0 ? (
        <p>{words.none}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label={words.label}>
          <table>
            <thead>
              <tr>
                <th scope="col">{words.actor}</th>
                <th scope="col">{words.roles}</th>
              </tr>
            </thead>
            <tbody>
              {holders.slice(0, shown).map(({ type, id, roles }) => (
                <tr key={`${type} ${id}`}>
                  <td class="fact">
                    {id === null ? words.all(type) : <a href={objectRoute({ type, id })}>{`${type}:${id}`}</a>}
                  </td>
                  <td>{roles.join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {holders !== undefined && holders.length > shown && (
        <button type="button" onClick={() => setShown(shown + 10 * shownFirst)}>
          {words.more(formatNumber(holders.length))}
        </button>
      )}
    </section>
  );
}
