import { createHash } from 'node:crypto';

/** As the tables store it. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
