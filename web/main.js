// The pages' modules, in the order of their views' code.

import { start } from "./app.js";
import "./account.js";
import "./appointments.js";
import "./own-account.js";
import "./staff.js";

start();
