import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../run/exit-codes.test.js'));
