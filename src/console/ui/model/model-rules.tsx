/** The rules of the model as text: those that grant a name, and all of them as a table. */
import { ScrollTable } from "../components/scroll-table.tsx";
import { routeTo } from "../state/route.ts";
import { modelTexts } from "../texts/model.ts";
import { type Implication, type Model, type ModelName, type ModelNode, type Place } from "./model.ts";

const words = modelTexts;

/** The name that is selected, with its declaration and every rule that leads to it. */
export function Grants({ node, grants }: { readonly node: ModelNode; readonly grants: readonly Implication[] }) {
  const name = node.kind === "type" ? node.name : words.name(node.name, node.type);
  return (
    <section aria-label={words.selected}>
      <p role="status">
        {words.selected}: <strong>{words.node(node.name, node.kind, node.type)}</strong>{" "}
        {node.place && <PlaceLink place={node.place} />}
      </p>
      {(node.kind === "role" || node.kind === "permission") && (
        <>
          <h2>{words.grants(name)}</h2>
          {grants.length === 0 ? (
            <p>{words.grantsNothing}</p>
          ) : (
            <ul class="model-grants">
              {grants.map((grant, index) => (
                <li key={index}>
                  {sourceText(grant)} → {nameText(grant.to)} <code>{grant.rule}</code> <PlaceLink place={grant.place} />
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </section>
  );
}

/** The text alternative of the drawing. */
export function ModelTable({ model: { types, implications } }: { readonly model: Model }) {
  const { columns } = words;
  return (
    <>
      <ScrollTable label={words.typesLabel} columns={[columns.type, columns.kind, columns.names]}>
        {types.map(({ name, kind, roles, permissions, relations, place }) => (
          <tr key={name}>
            <td>
              {name} {place && <PlaceLink place={place} />}
            </td>
            <td>{words.kindOfType[kind]}</td>
            <td>{[...roles, ...permissions, ...relations.map((each) => `${each.name}: ${each.type}`)].join(", ")}</td>
          </tr>
        ))}
      </ScrollTable>
      <ScrollTable label={words.tableLabel} columns={[columns.from, columns.to, columns.rule]}>
        {implications.map((implication, index) => (
          <tr key={index}>
            <td>{sourceText(implication)}</td>
            <td>{nameText(implication.to)}</td>
            <td>
              <code>{implication.rule}</code> <PlaceLink place={implication.place} />
            </td>
          </tr>
        ))}
      </ScrollTable>
    </>
  );
}

function sourceText({ from, through, conditional }: Implication): string {
  const source = from === null ? words.byRule : words.by(nameText(from), through);
  return conditional && from !== null ? `${source}, ${words.conditional}` : source;
}

function nameText({ name, type }: ModelName): string {
  return words.name(name, type);
}

function PlaceLink({ place: { file, line } }: { readonly place: Place }) {
  const query = { ...(file !== "" && { file }), line: String(line) };
  return <a href={routeTo("policy", [], query)}>{words.line(file, line)}</a>;
}
