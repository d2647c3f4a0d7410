# escape=`
FROM mcr.microsoft.com/windows/nanoserver
SHELL ["powershell", "-Command"]
COPY testfile.txt c:\
RUN dir c:\ ; `
    Write-Host hi
WORKDIR c:\app\
ENV PATHS "c:\a;c:\b"
