// The page for an unknown path.

import { fill, nameDocument, say } from "./language.js";

fill(document, say);
nameDocument(say("not_found"));
