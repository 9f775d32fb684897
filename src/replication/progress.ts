/** A file that a job writes, and whose size it knows beforehand: so others see how far it has come. */
export interface GrowingFile {
  readonly path: string;
  /** Its size at the end. */
  readonly bytes: number;
  /** What the job does then, which nobody can see the progress of. */
  readonly next: string;
}

/** Hears what is done next. */
export type OnStep = (step: string, growing?: GrowingFile) => void;
