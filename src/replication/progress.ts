/** The progress of a job that writes a file of known size. */
export interface GrowingFile {
  readonly path: string;
  /** The size of the complete file. */
  readonly bytes: number;
  /** The next step of the job, which has no measurable progress. */
  readonly next: string;
}

/** Called at the beginning of each step. */
export type OnStep = (step: string, growing?: GrowingFile) => void;
