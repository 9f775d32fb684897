/** Who has which role on an object, by stored facts and by rules. Nothing for a type without roles. */
import { useState } from "preact/hooks";
import { formatNumber } from "../components/format.ts";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { formatValue, type Value } from "../facts/fact-text.ts";
import { objectRoute } from "../facts/fact-view.tsx";
import { useLoaded } from "../state/loaded.ts";
import { objectTexts } from "../texts/object.ts";
import type { RoleHolder } from "./role-holders.ts";
import { queryRoles } from "./roles.ts";

const words = objectTexts.roles;
const shownFirst = 100;

export function RoleTable({ value }: { readonly value: Value }) {
  const [hasRoles, setHasRoles] = useState(false);
  const holders = useLoaded(formatValue(value), (signal) => queryRoles(value, signal, () => setHasRoles(true)));
  // Without an answer nobody knows whether the type has roles.
  if (!hasRoles && (holders.error === undefined || holders.atMs !== undefined)) return null;
  return (
    <section aria-label={words.title}>
      <h2>{words.title}</h2>
      <p class="help">{words.help}</p>
      <Remote of={holders}>{(found) => <Holders holders={found} />}</Remote>
    </section>
  );
}

function Holders({ holders }: { readonly holders: readonly RoleHolder[] }) {
  const [shown, setShown] = useState(shownFirst);
  if (holders.length === 0) return <p>{words.none}</p>;
  return (
    <>
      <ScrollTable label={words.label} columns={[words.actor, words.roles]}>
        {holders.slice(0, shown).map(({ type, id, roles }) => (
          <tr key={`${type} ${id}`}>
            <td class="fact">
              {id === null ? words.all(type) : <a href={objectRoute({ type, id })}>{`${type}:${id}`}</a>}
            </td>
            <td>{roles.join(", ")}</td>
          </tr>
        ))}
      </ScrollTable>
      {holders.length > shown && (
        <button type="button" onClick={() => setShown(shown + 10 * shownFirst)}>
          {words.more(formatNumber(holders.length))}
        </button>
      )}
    </>
  );
}
