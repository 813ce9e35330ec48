import { MigrateLockError } from '../errors.js';
import { INVALID_ANSWER } from './classify.js';

/**
 * An answer that the lock's functions never give. Such a value reaches no event, no environment and no timer.
 * `path` says where it is in the answer; the value itself is not printed.
 */
export class InvalidAnswer extends MigrateLockError {
  override readonly name = 'InvalidAnswer';

  constructor(path: string, expected: string) {
    super(`The database gave an answer that is not valid: ${path} is not ${expected}.`, {
      code: INVALID_ANSWER,
      exit: 'refused',
      hint: 'Something else than migrate-lock has written the functions of the lock schema, or the server is not the one that you think: check both.',
    });
  }
}

/** Reads one value of an answer, or refuses it. */
export type Shape<T> = (value: unknown, path: string) => T;

/** Longer than any text that the lock's functions store. */
const LONGEST_TEXT = 10_000;

export function text(longest = LONGEST_TEXT): Shape<string> {
  return (value, path) => {
    if (typeof value === 'string' && value.length <= longest) return value;
    throw new InvalidAnswer(path, `a text of at most ${longest} characters`);
  };
}

export function pattern(expected: RegExp): Shape<string> {
  return (value, path) => {
    if (typeof value === 'string' && expected.test(value)) return value;
    throw new InvalidAnswer(path, `a text that matches ${expected.source}`);
  };
}

export function integer(least: number, most: number): Shape<number> {
  return (value, path) => {
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
      return value as number;
    throw new InvalidAnswer(path, `a whole number from ${least} to ${most}`);
  };
}

export const truth: Shape<boolean> = (value, path) => {
  if (typeof value === 'boolean') return value;
  throw new InvalidAnswer(path, 'true or false');
};

export function oneOf<T extends string>(...words: T[]): Shape<T> {
  return (value, path) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw new InvalidAnswer(path, `one of ${words.join(', ')}`);
  };
}

export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return (value, path) => (value === null ? null : shape(value, path));
}

/** A field that may be missing. */
export function optional<T, D>(shape: Shape<T>, otherwise: D): Shape<T | D> {
  return (value, path) => (value === undefined ? otherwise : shape(value, path));
}

export function list<T>(shape: Shape<T>): Shape<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new InvalidAnswer(path, 'a list');
    return value.map((entry, index) => shape(entry, `${path}[${index}]`));
  };
}

/** An object with these fields; other fields are ignored. */
export function object<T extends object>(fields: { [Name in keyof T]: Shape<T[Name]> }): Shape<T> {
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new InvalidAnswer(path, 'an object');
    }
    const found = value as Record<string, unknown>;
    const read = Object.entries<Shape<unknown>>(fields).map(([name, shape]) => [
      name,
      shape(Object.hasOwn(found, name) ? found[name] : undefined, `${path}.${name}`),
    ]);
    return Object.fromEntries(read) as T;
  };
}

/** An object of one of several kinds, by its `outcome`. */
export function byOutcome<T>(kinds: Record<string, Shape<T>>): Shape<T> {
  const outcome = object({ outcome: oneOf(...Object.keys(kinds)) });
  return (value, path) => {
    const shape = kinds[outcome(value, path).outcome];
    if (shape === undefined) throw new InvalidAnswer(`${path}.outcome`, 'a known outcome');
    return shape(value, path);
  };
}
