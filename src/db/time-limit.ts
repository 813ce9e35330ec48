import { CALL_TIMEOUT } from './classify.js';
import { codedError } from './socket.js';

export interface TimeLimit {
  leftMs: number;
  /** Rejects when the time limit has passed; never resolves. */
  passed: Promise<never>;
  isOver: () => boolean;
  clear: () => void;
}

/** The time limit of a call: its error names `limitMs`; `leftMs` is the remaining time. */
export function timeLimit(name: string, limitMs: number, leftMs: number): TimeLimit {
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        over = true;
        reject(
          codedError(CALL_TIMEOUT, `${name}: no answer from the database within ${Math.round(limitMs)} ms`),
        );
      },
      Math.max(1, leftMs),
    );
  });
  const clear = (): void => clearTimeout(timer);
  return { leftMs: Math.max(1, leftMs), passed, isOver: () => over, clear };
}
