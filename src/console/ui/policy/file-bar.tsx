/** The files of the policy: which one is shown, and for those who may write, its name, new files and opened ones. */
import { useId, useRef } from "preact/hooks";
import { policyTexts } from "../texts/policy.ts";
import { type Draft, filesMax, shownFile, withFiles, withName, withoutFile } from "./files.ts";

const words = policyTexts.files;

export interface FileBarProps {
  readonly draft: Draft;
  readonly mayWrite: boolean;
  readonly onChange: (update: (draft: Draft) => Draft) => void;
}

export function FileBar({ draft, mayWrite, onChange }: FileBarProps) {
  const { files } = draft;
  const shown = shownFile(draft);
  const id = useId();
  const picker = useRef<HTMLInputElement>(null);
  const openFiles = async (list: FileList | null): Promise<void> => {
    const opened = await Promise.all(
      [...(list ?? [])].map(async (file) => ({ name: file.name, text: await file.text() })),
    );
    onChange((last) => withFiles(last, opened));
  };
  return (
    <div class="file-bar">
      <ul class="file-list" aria-label={words.list}>
        {files.map((file) => (
          <li key={file.id}>
            <button
              type="button"
              aria-pressed={file.id === shown.id}
              onClick={() => onChange((last) => ({ ...last, shown: file.id }))}
            >
              {file.name}
            </button>
          </li>
        ))}
      </ul>
      {mayWrite && (
        <div class="toolbar">
          <label for={id}>
            {words.name}
            <input
              id={id}
              key={`${shown.id} ${shown.name}`}
              autocomplete="off"
              spellcheck={false}
              defaultValue={shown.name}
              onChange={({ currentTarget }) => onChange(renaming(shown.id, currentTarget.value.trim()))}
            />
          </label>
          <button
            type="button"
            disabled={files.length >= filesMax}
            onClick={() => onChange((last) => withFiles(last, [{ name: words.newName, text: "" }]))}
          >
            {words.add}
          </button>
          <button type="button" disabled={files.length >= filesMax} onClick={() => picker.current?.click()}>
            {words.open}
          </button>
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            aria-label={words.opened}
            onChange={({ currentTarget }) => {
              void openFiles(currentTarget.files);
              currentTarget.value = "";
            }}
          />
          {files.length > 1 && (
            <button type="button" onClick={() => onChange((last) => withoutFile(last, shown.id))}>
              {words.remove}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function renaming(id: number, name: string): (draft: Draft) => Draft {
  return (draft) => withName(draft, id, name);
}
