import { fileURLToPath } from 'node:url';

/** What `npm run build:binary` makes; it need not be there. */
export const EXECUTABLE = fileURLToPath(
  new URL(`../../dist/bin/migrate-lock-${process.platform}-${process.arch}`, import.meta.url),
);
