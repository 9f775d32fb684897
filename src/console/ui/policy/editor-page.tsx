/** The editor of the policy: it loads the active policy, and keeps the draft. */
import { useEffect, useState } from "preact/hooks";
import { Remote, Trouble } from "../components/remote.tsx";
import { useLoaded } from "../state/loaded.ts";
import { call, type Login } from "../state/session.ts";
import { storeDraft, storedDraft } from "./drafts.ts";
import { type Draft, draftOf, refreshed } from "./files.ts";
import { namesOfMetadata, noNames, type PolicyMetadata, type PolicyNames } from "./names.ts";
import { useMayWrite } from "./policy-access.ts";
import { type ActiveVersion, readActive } from "./versions.ts";
import { Workbench } from "./workbench.tsx";

export function EditorPage({ login }: { readonly login: Login }) {
  const { environment } = login.who;
  const mayWrite = useMayWrite(login);
  const loaded = useLoaded(`${environment} ${login.who.id}`, loadPolicy);
  const [draft, setDraft] = useState(() => storedDraft(environment));
  // The stored draft is the newest one: that of a rendering may be behind it.
  const change = (update: (draft: Draft) => Draft): void => {
    const next = update(storedDraft(environment) ?? draftOf(undefined));
    storeDraft(environment, next);
    setDraft(next);
  };
  useEffect(() => {
    const { data } = loaded;
    if (data === undefined) return;
    const next = refreshed(storedDraft(environment), data.active?.policy);
    storeDraft(environment, next);
    setDraft(next);
  }, [loaded.data]);
  if (draft === undefined)
    return (
      <Remote of={loaded} lines={12}>
        {() => null}
      </Remote>
    );
  return (
    <>
      {loaded.error !== undefined && (
        <Trouble error={loaded.error} isLoading={loaded.isLoading} onRetry={loaded.reload} />
      )}
      <Workbench
        draft={draft}
        active={loaded.data?.active}
        names={loaded.data?.names ?? noNames}
        mayWrite={mayWrite}
        onChange={change}
        onReload={loaded.reload}
      />
    </>
  );
}

interface LoadedPolicy {
  readonly active: ActiveVersion | undefined;
  readonly names: PolicyNames;
}

async function loadPolicy(signal: AbortSignal): Promise<LoadedPolicy> {
  const active = await readActive(signal);
  if (active === undefined) return { active, names: noNames };
  const [{ metadata }, { suggestions }] = (await Promise.all([
    call("/api/policy_metadata", { signal }),
    call("/api/autocomplete_info", { signal }),
  ])) as [{ readonly metadata: PolicyMetadata }, { readonly suggestions: Readonly<Record<string, unknown>> }];
  return { active, names: namesOfMetadata(metadata, Object.keys(suggestions)) };
}
