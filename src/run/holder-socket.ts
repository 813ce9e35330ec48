import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Names the holder's socket to the child. */
export const SOCKET_VARIABLE = 'MIGRATE_LOCK_SOCKET';

/** What the child may ask of its holder. */
export interface HolderRequest {
  request: 'extend';
  ttlMs: number;
}

export type HolderAnswer =
  | { ok: true; expiresAt: string }
  /** `code`: as in errors.ts. */
  | { ok: false; code: string; message: string };

export interface HolderSocket {
  path: string;
  close: () => void;
}

/** A request is one short line; who sends more is not one of ours. */
const LONGEST_REQUEST = 10_000;
/** What the kernel takes as the path of a Unix socket, with its closing NUL. */
const LONGEST_PATH = 104;

/**
 * A Unix socket in a folder that only its user may enter: whatever the child wants of its holder it asks the living holder
 * itself, so that the lease's secret never leaves the process. One line of JSON in, one out.
 * @returns undefined when there is no place for a socket: the child then cannot ask.
 */
export async function openHolderSocket(
  answer: (request: HolderRequest) => Promise<HolderAnswer>,
): Promise<HolderSocket | undefined> {
  let folder: string;
  try {
    folder = mkdtempSync(path.join(shortTemporaryFolder(), 'migrate-lock-'));
    chmodSync(folder, 0o700);
  } catch {
    return undefined;
  }
  const socketPath = path.join(folder, 's');
  const close = (server?: net.Server): void => {
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const server = await listen(socketPath, answer);
    return { path: socketPath, close: () => close(server) };
  } catch {
    close();
    return undefined;
  }
}

function shortTemporaryFolder(): string {
  const folder = tmpdir();
  return folder.length + '/migrate-lock-XXXXXX/s'.length < LONGEST_PATH ? folder : '/tmp';
}

function listen(
  socketPath: string,
  answer: (request: HolderRequest) => Promise<HolderAnswer>,
): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => {
      let text = '';
      socket.setEncoding('utf8');
      socket.unref();
      socket.on('error', () => socket.destroy());
      socket.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > LONGEST_REQUEST) socket.destroy();
        if (!text.includes('\n')) return;
        const request = readRequest(text);
        if (request === undefined) return void socket.destroy();
        void answer(request).then((told) => socket.end(`${JSON.stringify(told)}\n`));
      });
    });
    server.unref();
    server.once('error', reject);
    server.listen(socketPath, () => resolve(server));
  });
}

function readRequest(text: string): HolderRequest | undefined {
  try {
    const request = JSON.parse(text) as Partial<HolderRequest> | null;
    if (request?.request === 'extend' && Number.isSafeInteger(request.ttlMs) && Number(request.ttlMs) > 0) {
      return { request: 'extend', ttlMs: Number(request.ttlMs) };
    }
  } catch {
    // Not one of ours.
  }
  return undefined;
}
