FROM scratch AS Bad/Name
