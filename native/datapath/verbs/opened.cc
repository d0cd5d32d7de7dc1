#include "datapath/verbs/opened.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "datapath/error.h"

namespace weft::datapath::verbs {

void refuse(const std::string& device, const char* call, int error, const char* mend) {
    const bool resources = error == ENOMEM || error == EMFILE || error == EAGAIN;
    throw Error(resources ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                "verbs: " + device + ": " + call + " failed: " + std::strerror(error) + mend);
}

void check(int result, const std::string& device, const char* call, const char* mend) {
    if (result != 0) {
        refuse(device, call, result > 0 ? result : errno, mend);
    }
}

bool never_blocks(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

}  // namespace weft::datapath::verbs
