/** The model of the policy: its types, roles, permissions and relations, what implies what, and what grants each name. */
import { useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";
import { Heading } from "../components/heading.tsx";
import { Remote } from "../components/remote.tsx";
import { type Model, graphOf, grantsOf, isSmall, keyOf, leadingTo } from "../model/model.ts";
import { Grants, ModelTable } from "../model/model-rules.tsx";
import { ModelDrawing } from "../model/model-drawing.tsx";
import { useLoaded } from "../state/loaded.ts";
import { call } from "../state/session.ts";
import { modelTexts } from "../texts/model.ts";

const words = modelTexts;

export default function ModelScreen() {
  const loaded = useLoaded("", loadModel);
  return (
    <>
      <Heading text={words.title} />
      <Remote of={loaded}>{(model) => (model === null ? <p>{words.none}</p> : <ModelView model={model} />)}</Remote>
    </>
  );
}

/** Null without a policy. */
async function loadModel(signal: AbortSignal): Promise<Model | null> {
  try {
    return (await call("/api/policy_model", { signal })) as Model;
  } catch (error) {
    if (error instanceof ApiError && error.code === "not_found") return null;
    throw error;
  }
}

function ModelView({ model }: { readonly model: Model }) {
  const [first] = model.types;
  const [showsPermissions, setShows] = useState(isSmall(model));
  const [selected, setSelected] = useState(first ? keyOf({ type: first.name, kind: "type", name: first.name }) : "");
  const graph = graphOf(model, showsPermissions, selected);
  const node = graph.nodes.get(selected);
  const grants = node === undefined ? [] : grantsOf(model, node);
  if (first === undefined) return <p>{words.none}</p>;
  return (
    <>
      <p class="help">{words.help}</p>
      <label>
        <input
          type="checkbox"
          checked={showsPermissions}
          onChange={({ currentTarget }) => setShows(currentTarget.checked)}
        />{" "}
        {words.permissions}
      </label>
      <ModelDrawing
        graph={graph}
        selected={selected}
        highlighted={node === undefined || node.kind === "type" ? new Set() : leadingTo(grants, selected)}
        onSelect={setSelected}
      />
      {node && <Grants node={node} grants={grants} />}
      <details>
        <summary>{words.table}</summary>
        <ModelTable model={model} />
      </details>
    </>
  );
}
