mod lives;
mod plugins;
mod reloads;
